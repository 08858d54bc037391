// Answers JSON, as handlers in JavaScript do.
addEventListener("fetch", (event) => {
  const { pathname } = new URL(event.request.url);
  const body = JSON.stringify({ message: "hello", path: pathname });
  event.respondWith(new Response(body, { headers: { "content-type": "application/json" } }));
});
