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

/** A worker has the policy of its script's answer, not the page's: the same hosts as in src/policy.ts. */
async function withPolicy(answer, clientId) {
  const page = await self.clients.get(clientId);
  const hub = page && new URL(page.url).searchParams.has('model');
  const hosts = hub ? ' https://huggingface.co https://*.huggingface.co https://*.hf.co' : '';
  const headers = new Headers(answer.headers);
  headers.set('content-security-policy', `default-src 'none'; script-src 'self'; connect-src 'self' blob:${hosts}`);
  return new Response(answer.body, { headers });
}

self.addEventListener('fetch', event => {
  const { request, clientId } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin) return;
  const answer = async () => {
    const cache = await caches.open(CACHE);
    const kept = await cache.match(request, { ignoreSearch: request.mode === 'navigate' });
    if (kept && request.destination === 'worker') return withPolicy(kept, clientId);
    return kept ?? fetch(request);
  };
  event.respondWith(answer());
});
