/* The other side of a benchmark, as cheap as it can be: subscribers that count what they get, and a publisher over
 * HTTP. One epoll loop; what it counts is in a file that the harness has mapped too (see shared.py for the layout).
 *
 *   load sink PORT CORE SHARED COUNT WINDOW CHANNELS STALLED ACKS PATH HELLO REPEAT
 *   load http PORT CORE SHARED CONNECTIONS REQUEST_FILE
 *
 * sink: opens COUNT WebSockets, WINDOW at a time, to PATH, sends HELLO on each, REPEAT times, and is ready when each
 * got ACKS text frames; with more than one of these the first is a greeting, and HELLO comes after it. {i} in PATH and HELLO is the connection's number; {c} counts the HELLOs of all connections,
 * modulo CHANNELS. The first STALLED read no more from then on. With an empty PATH there is no handshake. Prints
 * "ready"; ends when stdin does.
 * http: for each line COUNT on stdin sends the request that often, and prints "done".
 *
 * A text that holds T= and 19 digits was sent at that CLOCK_MONOTONIC nanosecond: its age goes into the histogram.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READY, BYTES, FRAMES, CPU, RESPONSES, ERRORS, CLOSED, HISTOGRAM = 8, SLOTS = HISTOGRAM + 64 * 32 };
enum { KEPT = 512, BUFFER = 1 << 18 };

struct peer {
    int fd, number, handshaken, acks;
    uint8_t head[14];
    unsigned have; /* bytes of the head that are there */
    uint64_t size, left; /* of the payload */
    unsigned kept;
    char text[KEPT];
    uint64_t sent_at; /* http */
};

static uint64_t *shared;
static int epoll_fd;
static char buffer[BUFFER];

static void die(const char *what) { perror(what); exit(1); }

static uint64_t clock_of(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

static void note(uint64_t nanoseconds) {
    uint64_t value = nanoseconds < 32 ? 32 : nanoseconds;
    int power = 63 - __builtin_clzll(value);
    shared[HISTOGRAM + power * 32 + ((value >> (power - 5)) & 31)]++;
}

static void use(int core, const char *path) {
    if (core >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(core, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    int fd = open(path, O_RDWR);
    if (fd < 0) die(path);
    shared = mmap(NULL, SLOTS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) die("mmap");
    close(fd);
    if ((epoll_fd = epoll_create1(0)) < 0) die("epoll");
}

static void watch(int fd, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static int dial(int port, int deaf) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    int little = 4096;
    if (fd < 0) die("socket");
    if (deaf) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little); /* the kernel keeps little for it */
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void say(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t sent = write(fd, bytes, size);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EINTR) continue;
            return; /* the reader sees the end */
        }
        bytes += sent;
        size -= sent;
    }
}

static void say_frame(int fd, int opcode, const char *text, size_t size) {
    char frame[8 + 65536];
    size_t head = 2;
    if (size > 65000) exit(2);
    frame[0] = 0x80 | opcode;
    if (size < 126) frame[1] = 0x80 | size;
    else {
        frame[1] = (char)(0x80 | 126);
        frame[2] = size >> 8;
        frame[3] = size & 255;
        head = 4;
    }
    memset(frame + head, 0, 4); /* a mask of zeros leaves the text as it is */
    memcpy(frame + head + 4, text, size);
    say(fd, frame, head + 4 + size);
}

static size_t fill(char *into, size_t room, const char *form, int number, int channel) {
    size_t size = 0;
    for (; *form && size + 16 < room; form++) {
        if (!strncmp(form, "{i}", 3)) size += sprintf(into + size, "%d", number), form += 2;
        else if (!strncmp(form, "{c}", 3)) size += sprintf(into + size, "%d", channel), form += 2;
        else into[size++] = *form;
    }
    into[size] = 0;
    return size;
}

/* Subscribers. */

static int count, window, channels, stalled, acks, repeat, opened, port_;
static const char *path, *hello;
static struct peer *peers;

static void greet(struct peer *peer) {
    char text[4096];
    for (int at = 0; *hello && at < repeat; at++) {
        int channel = (int)(((int64_t)peer->number * repeat + at) % channels);
        say_frame(peer->fd, 1, text, fill(text, sizeof text, hello, peer->number, channel));
    }
}

static void open_next(void) {
    struct peer *peer = &peers[opened];
    char request[4096], where[2048];
    peer->number = opened++;
    peer->fd = dial(port_, peer->number < stalled);
    if (*path) {
        fill(where, sizeof where, path, peer->number, peer->number % channels);
        int size = snprintf(request, sizeof request,
                            "GET %s HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", where);
        say(peer->fd, request, size);
    } else {
        peer->handshaken = 1;
    }
    fcntl(peer->fd, F_SETFL, O_NONBLOCK);
    watch(peer->fd, peer);
    if (!acks && !*path) shared[READY]++;
}

static void frame_done(struct peer *peer) {
    int opcode = peer->head[0] & 15;
    shared[FRAMES]++;
    if (opcode == 9) say_frame(peer->fd, 10, peer->text, peer->kept);
    if (opcode != 1) return;
    if (!peer->acks && acks > 1) greet(peer);
    if (peer->acks < acks && ++peer->acks == acks) {
        shared[READY]++;
        if (peer->number < stalled) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, peer->fd, NULL);
        if (opened < count) open_next();
        return;
    }
    char *mark = memmem(peer->text, peer->kept, "T=", 2);
    if (mark && mark + 21 <= peer->text + peer->kept) {
        uint64_t then = strtoull(mark + 2, NULL, 10), now = clock_of(CLOCK_MONOTONIC);
        if (then) note(now > then ? now - then : 0);
    } else if (peer->kept == 1 && peer->text[0] == '2') {
        say_frame(peer->fd, 1, "3", 1); /* engine.io's ping */
    } else if (memmem(peer->text, peer->kept, "\"pusher:ping\"", 13)) {
        say_frame(peer->fd, 1, "{\"event\":\"pusher:pong\",\"data\":{}}", 33);
    }
}

static void take(struct peer *peer, const char *bytes, size_t size) {
    while (size) {
        if (peer->left) {
            size_t part = size < peer->left ? size : peer->left, room = KEPT - peer->kept;
            memcpy(peer->text + peer->kept, bytes, part < room ? part : room);
            peer->kept += part < room ? part : room;
            peer->left -= part;
            bytes += part;
            size -= part;
            if (!peer->left) frame_done(peer), peer->have = 0;
            continue;
        }
        peer->head[peer->have++] = *bytes++;
        size--;
        unsigned length = peer->have > 1 ? peer->head[1] & 127 : 0, need = length == 126 ? 4 : length == 127 ? 10 : 2;
        if (peer->have < need) continue;
        peer->size = length;
        if (length > 125) {
            peer->size = 0;
            for (unsigned at = 2; at < need; at++) peer->size = peer->size << 8 | peer->head[at];
        }
        peer->left = peer->size;
        peer->kept = 0;
        if (!peer->left) frame_done(peer), peer->have = 0;
    }
}

static void read_peer(struct peer *peer) {
    ssize_t size = read(peer->fd, buffer, BUFFER);
    if (size <= 0) {
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
        shared[CLOSED]++;
        close(peer->fd);
        return;
    }
    shared[BYTES] += size;
    char *at = buffer;
    if (!peer->handshaken) { /* the head of the answer comes in one piece on loopback, or is gathered in text */
        size_t room = KEPT - 1 - peer->kept, part = (size_t)size < room ? (size_t)size : room;
        unsigned before = peer->kept;
        memcpy(peer->text + before, buffer, part);
        peer->text[peer->kept += part] = 0;
        char *end = strstr(peer->text, "\r\n\r\n");
        if (!end) return;
        if (strncmp(peer->text + 9, "101", 3)) { fprintf(stderr, "no upgrade: %s\n", peer->text); exit(1); }
        at = buffer + (end + 4 - peer->text - before);
        size -= at - buffer;
        peer->handshaken = 1;
        peer->kept = 0;
        if (acks < 2) greet(peer);
        if (!acks) {
            shared[READY]++;
            if (peer->number < stalled) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, peer->fd, NULL);
            if (opened < count) open_next();
        }
    }
    take(peer, at, size);
}

static void serve_sinks(void) {
    struct epoll_event events[256];
    int told = 0;
    while (opened < count && opened < window) open_next();
    while (!*path && opened < count) open_next();
    watch(0, NULL);
    for (;;) {
        if (!told && shared[READY] >= (uint64_t)count) told = 1, puts("ready"), fflush(stdout);
        int ready = epoll_wait(epoll_fd, events, 256, -1);
        for (int at = 0; at < ready; at++) {
            if (!events[at].data.ptr) exit(0);
            read_peer(events[at].data.ptr);
        }
        shared[CPU] = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    }
}

/* A publisher. */

static char *request;
static size_t request_size;
static uint64_t left;

static void ask(struct peer *peer) {
    left--;
    peer->sent_at = clock_of(CLOCK_MONOTONIC);
    peer->kept = 0;
    say(peer->fd, request, request_size);
}

static int answered(struct peer *peer) { /* a whole response is there */
    char *end = strstr(peer->text, "\r\n\r\n"), *length;
    if (!end) return 0;
    length = strcasestr(peer->text, "content-length:");
    return length && peer->text + peer->kept >= end + 4 + atoi(length + 15);
}

static void run_requests(int connections, uint64_t wanted) {
    struct epoll_event events[256];
    uint64_t end = shared[RESPONSES] + wanted;
    left = wanted;
    for (int at = 0; at < connections && left; at++) ask(&peers[at]);
    while (shared[RESPONSES] < end) {
        int ready = epoll_wait(epoll_fd, events, 256, 10000);
        if (ready <= 0) { fprintf(stderr, "no answer\n"); exit(1); }
        for (int at = 0; at < ready; at++) {
            struct peer *peer = events[at].data.ptr;
            ssize_t size = read(peer->fd, peer->text + peer->kept, KEPT - 1 - peer->kept);
            if (size <= 0) { fprintf(stderr, "connection lost: %.200s\n", peer->text); exit(1); }
            peer->text[peer->kept += size] = 0;
            if (!answered(peer)) continue;
            note(clock_of(CLOCK_MONOTONIC) - peer->sent_at);
            shared[RESPONSES]++;
            if (strncmp(peer->text + 9, "200", 3)) {
                if (!shared[ERRORS]++) fprintf(stderr, "%.300s\n", peer->text);
            }
            if (strcasestr(peer->text, "connection: close")) { /* some servers answer once a connection */
                close(peer->fd);
                watch(peer->fd = dial(port_, 0), peer);
            }
            if (left) ask(peer);
        }
    }
    shared[CPU] = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    puts("done");
    fflush(stdout);
}

static void serve_requests(int connections, const char *file) {
    char line[64];
    FILE *from = fopen(file, "rb");
    if (!from) die(file);
    request = malloc(1 << 20);
    request_size = fread(request, 1, 1 << 20, from);
    fclose(from);
    peers = calloc(connections, sizeof *peers);
    for (int at = 0; at < connections; at++) watch(peers[at].fd = dial(port_, 0), &peers[at]);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) run_requests(connections, strtoull(line, NULL, 10));
}

int main(int argc, char **argv) {
    if (argc < 7) return 2;
    port_ = atoi(argv[2]);
    use(atoi(argv[3]), argv[4]);
    if (!strcmp(argv[1], "http")) {
        serve_requests(atoi(argv[5]), argv[6]);
        return 0;
    }
    if (argc < 13) return 2;
    count = atoi(argv[5]);
    window = atoi(argv[6]);
    channels = atoi(argv[7]);
    stalled = atoi(argv[8]);
    acks = atoi(argv[9]);
    path = argv[10];
    hello = argv[11];
    repeat = atoi(argv[12]);
    peers = calloc(count, sizeof *peers);
    serve_sinks();
    return 0;
}
