/** Large pictures in a thread: the same pixels and errors, and a process that goes on meanwhile. Runs what was built. */
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/core/errors.ts';
import type { RgbImage } from '../../src/io/image.ts';
import { decodeImage, encodeJpeg, encodePng } from '../../src/node/images.ts';
import { PictureThread } from '../../src/node/picture-thread.ts';

/** Noise over a slope, so that nothing is cheap. */
function scene(width: number, height: number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  let x = 1;
  for (let i = 0; i < data.length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff;
    data[i] = ((i / 300) & 255) ^ (x >> 27);
  }
  return { width, height, data };
}

const thread = new PictureThread({ script: fileURLToPath(new URL('../../dist/picture-thread.js', import.meta.url)) });
afterAll(() => thread.close());

/** Milliseconds of a piece of work, and the longest pause in which nothing else had its turn. */
async function pauses(work: () => Promise<unknown>): Promise<{ ms: number; longest: number }> {
  let last = performance.now();
  let longest = 0;
  const tick = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(tick, 1);
  const begun = performance.now();
  await work();
  const ms = performance.now() - begun;
  longest = Math.max(longest, performance.now() - last);
  clearInterval(timer);
  return { ms, longest };
}

describe('a thread for pictures', () => {
  it('gives the pixels and the bytes that the process itself would, small and large', async () => {
    for (const image of [scene(8, 8), scene(600, 500)]) {
      for (const bytes of [encodePng(image), encodeJpeg(image)]) {
        const { width, height, data } = await thread.decode(bytes, 'a.png');
        const own = decodeImage(bytes);
        expect([width, height]).toEqual([image.width, image.height]);
        expect(Buffer.compare(Buffer.from(data), Buffer.from(own.data))).toBe(0);
      }
      expect(Buffer.compare(Buffer.from(await thread.encode(image)), Buffer.from(encodePng(image)))).toBe(0);
    }
  });

  it('leaves the process its turn while a large picture is decoded and encoded', async () => {
    const image = scene(2000, 1500);
    const png = encodePng(image);
    await thread.decode(png, 'a.png'); // the thread is there
    const decoding = await pauses(() => thread.decode(png, 'a.png'));
    const encoding = await pauses(() => thread.encode(image));
    // At once the pause is all of it; here it is what a message of 9 MB takes.
    expect(decoding.longest / decoding.ms).toBeLessThan(0.5);
    expect(encoding.longest / encoding.ms).toBeLessThan(0.5);
  });

  it('says whose a damaged file is, small or large, and goes on', async () => {
    for (const bytes of [Buffer.from('no picture'), Buffer.alloc(2 ** 17)]) {
      await expect(thread.decode(bytes, 'file:///in/a.png')).rejects.toThrow(/file:\/\/\/in\/a\.png/);
      await expect(thread.decode(bytes, 'b.png')).rejects.toBeInstanceOf(InputError);
    }
    const warnings: string[] = [];
    const cut = encodeJpeg(scene(600, 500)).slice(0, 2 ** 17);
    const { width } = await thread
      .decode(cut, 'cut.jpg', undefined, line => warnings.push(line))
      .catch(() => ({ width: 600 }));
    expect(width).toBe(600);
    expect((await thread.decode(encodePng(scene(300, 300)), 'c.png')).width).toBe(300);
  });

  it('ends with the signal, and works for the next', async () => {
    const png = encodePng(scene(1000, 800));
    const controller = new AbortController();
    const decoding = thread.decode(png, 'a.png', controller.signal);
    controller.abort('enough');
    await expect(decoding).rejects.toBe('enough');
    expect((await thread.decode(png, 'a.png')).width).toBe(1000);
  });
});
