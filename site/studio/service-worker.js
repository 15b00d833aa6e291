/** Keeps the page itself, so that it opens without a network; weights keep themselves in the origin's private file system. */
// The build writes the names of the page's files here.
const { version, files } = { version: '', files: [] };
const CACHE = `pentimento-studio-${version}`;

self.addEventListener('install', event => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then(cache => cache.addAll(files))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener('activate', event => {
  event.waitUntil(
    caches
      .keys()
      .then(names =>
        Promise.all(
          names
            .filter(name => name.startsWith('pentimento-studio-') && name !== CACHE)
            .map(name => caches.delete(name)),
        ),
      )
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', event => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith(
    caches
      .open(CACHE)
      .then(
        async cache => (await cache.match(request, { ignoreSearch: request.mode === 'navigate' })) ?? fetch(request),
      ),
  );
});
