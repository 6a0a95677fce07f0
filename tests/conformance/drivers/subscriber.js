// pusher-js of any version behind one set of words, in Node and in pages. `tell` is given all that happens to it.
function subscriber(Pusher, key, options, tell) {
  const pusher = new Pusher(key, options);
  const each = {};

  // Its name was `bind_all` in 3.0.
  const bindAll = (emitter, callback) => (emitter.bind_global || emitter.bind_all).call(emitter, callback);

  pusher.connection.bind("state_change", ({ current }) =>
    tell({ told: "state", state: current, socket_id: pusher.connection.socket_id || null }),
  );
  // An error frame comes as it is; the error of a closed connection is wrapped.
  pusher.connection.bind("error", (error) => {
    const data = (error.data ? error : error.error || error).data || {};
    tell({ told: "error", code: data.code === undefined ? null : data.code, message: String(data.message || error.type) });
  });
  pusher.connection.bind("message", ({ event, channel }) => {
    if (event === "pusher:signin_success") tell({ told: "signed in", user: pusher.user.user_data });
    if (event === "pusher_internal:subscription_succeeded" && channel.indexOf("#server-to-user-") === 0) {
      tell({ told: "user event", event: "pusher:subscription_succeeded", data: null });
    }
    if (event === "pusher:pong") tell({ told: "pong" });
  });
  if (pusher.user) {
    bindAll(pusher.user, (event, data) => tell({ told: "user event", event, data }));
    for (const name of ["online", "offline"]) {
      if (pusher.user.watchlist) pusher.user.watchlist.bind(name, ({ user_ids }) => tell({ told: name, user_ids }));
    }
  }

  function subscribe(name) {
    const channel = (each[name] = pusher.subscribe(name));
    bindAll(channel, (event, data) => {
      if (event.indexOf("client-") !== 0) tell({ told: "event", channel: name, event, data: data === undefined ? null : data });
    });
    channel.bind("client-typing", (data, more) =>
      tell({ told: "event", channel: name, event: "client-typing", data, user_id: (more && more.user_id) || null }),
    );
  }

  function members(name) {
    const { members: all, me, count } = each[name].members;
    tell({ told: "members", members: all, me, count });
  }

  return {
    subscribe,
    members,
    unsubscribe: (name) => pusher.unsubscribe(name),
    trigger: (name, event, data) => each[name].trigger(event, data),
    signin: () => pusher.signin(),
    disconnect: () => pusher.disconnect(),
  };
}

if (typeof module !== "undefined") module.exports = subscriber;
