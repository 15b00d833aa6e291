/** Keeps the page itself, so that it opens without a network; weights keep themselves in the origin's private file system. */
// The build writes the names of the page's files here.
const { version, files } = { version: '', files: [] };
// Of this folder: another studio of the same origin has its own.
const OWN = `pentimento-studio ${self.registration.scope} `;
const CACHE = OWN + version;

self.addEventListener('install', event => {
  // A newer one waits until the last page of the older one is closed, whose files it removes.
  event.waitUntil(caches.open(CACHE).then(cache => cache.addAll(files)));
});

self.addEventListener('activate', event => {
  event.waitUntil(
    caches
      .keys()
      .then(names =>
        Promise.all(names.filter(name => name.startsWith(OWN) && name !== CACHE).map(name => caches.delete(name))),
      )
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', event => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin) return;
  const answer = async () => {
    const cache = await caches.open(CACHE);
    return (await cache.match(request, { ignoreSearch: request.mode === 'navigate' })) ?? fetch(request);
  };
  event.respondWith(answer());
});
