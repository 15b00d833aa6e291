// A strict program with Node's types and without the DOM's.
import { blobSource, loadImage, urlSource } from 'pentimento';
import { fetchModel } from 'pentimento/node';

const { signal } = new AbortController();
export const pictures = [new Blob([]), Buffer.alloc(8), new URL('https://example.org/a.png')].map(input =>
  loadImage(input, { signal }),
);
export const source = blobSource(new Blob([]));
export const ranged = urlSource(new URL('https://example.org/x'), { fetch, signal });
export const model = fetchModel('owner/name', { signal });

// @ts-expect-error a signal is no text
void loadImage(Buffer.alloc(8), { signal: 'stop' });
