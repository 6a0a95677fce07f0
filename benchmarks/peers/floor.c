/* The floor under every server: send() of a finished frame to each socket, and nothing else.
 * Speaks to the harness as benchmarks/peers/serving.py does, for the order "ticks" alone. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int sockets[65536], count;

static double cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static long field(const char *line, const char *name) {
    char *at = strstr(line, name);
    return at ? atol(at + strlen(name)) : 0;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    char frame[4096], line[4096], *path, *end;
    if (argc < 2) return 2;
    size_t text = strlen(argv[1]);
    frame[0] = (char)0x81, frame[1] = 126, frame[2] = text >> 8, frame[3] = text & 255;
    memcpy(frame + 4, argv[1], text);
    if (bind(listening, (struct sockaddr *)&address, size) || listen(listening, 4096)) return 1;
    getsockname(listening, (struct sockaddr *)&address, &size);
    printf("{\"port\": %d, \"pid\": %d}\n", ntohs(address.sin_port), getpid());
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        long ticks = field(line, "\"ticks\": "), events = field(line, "\"events\": "), wanted = field(line, "\"subscribers\": ");
        while (count < wanted) {
            sockets[count] = accept(listening, NULL, NULL);
            setsockopt(sockets[count++], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        }
        if (!(path = strstr(line, "\"counters\": \""))) return 1;
        path += 13;
        if (!(end = strchr(path, '"'))) return 1;
        *end = 0;
        int file = open(path, O_RDWR);
        volatile uint64_t *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
        close(file);
        double used = 0;
        uint64_t expected = shared[2];
        for (long tick = 0; tick < ticks; tick++) {
            double begun = cpu();
            for (long event = 0; event < events; event++)
                for (int at = 0; at < count; at++)
                    if (send(sockets[at], frame, text + 4, 0) < 0) return 1;
            used += cpu() - begun;
            expected += events * count;
            while (shared[2] < expected) usleep(500);
        }
        munmap((void *)shared, 4096);
        printf("{\"cpu\": %.9f}\n", used);
        fflush(stdout);
    }
    return 0;
}
