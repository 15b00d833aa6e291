import { outcome } from '/test/storage-page.mjs';

self.onmessage = async ({ data }) => postMessage(await outcome(data));
