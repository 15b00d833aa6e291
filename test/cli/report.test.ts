import { describe, expect, it } from 'vitest';
import { latentsToImage, renderReport } from '../../src/cli/report.ts';
import { ndarray } from '../../src/core/ndarray.ts';
import { readImage } from '../../src/node/images.ts';

const red = { width: 2, height: 1, data: Uint8Array.of(255, 0, 0, 255, 0, 0) };
const mask = { width: 1, height: 1, channels: 1 as const, data: Uint8Array.of(255) };
const html = renderReport({
  from: 'bowl',
  to: '<b>basket</b>',
  caption: 'fruit & "more"',
  sourcePrompts: ['a bowl', 'two bowls'],
  targetPrompts: ['a basket'],
  pictures: [
    ['Picture', red],
    ['Mask', mask],
  ],
  timings: { load: 12, edit: 3456 },
  facts: { seed: 0, device: 'a <device>' },
});

describe('the report', () => {
  it('shows every text, written as text', () => {
    for (const text of ['fruit &amp; &quot;more&quot;', '<li>a bowl</li>', '<li>two bowls</li>', '<li>a basket</li>']) {
      expect(html).toContain(text);
    }
    expect(html).toContain('bowl to &lt;b&gt;basket&lt;/b&gt;');
    expect(html).toContain('a &lt;device&gt;');
    expect(html).not.toContain('<b>');
  });

  it('shows seconds and settings', () => {
    expect(html).toMatch(/<th>edit<\/th><td class="n">3\.46 s<\/td>/);
    expect(html).toMatch(/<th>seed<\/th><td class="n">0<\/td>/);
  });

  it('carries its pictures and refers to nothing else', async () => {
    const urls = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, url]) => url);
    expect(urls).toHaveLength(2);
    expect(await readImage(urls[0])).toEqual({ ...red, data: expect.anything() });
    expect(Array.from((await readImage(urls[0])).data)).toEqual(Array.from(red.data));
    expect(Array.from((await readImage(urls[1])).data)).toEqual([255, 255, 255]);
    expect(html).not.toMatch(/<script|<link|url\(|@import/);
  });
});

describe('latents as a picture', () => {
  it('shows the first three channels of the first frame between -3 and 3, each latent a square', () => {
    const channel = (...values: number[]) => values;
    const frame = [...channel(-3, 3), ...channel(0, 9), ...channel(-9, 0), ...channel(1, 1)];
    const other = frame.map(() => 2);
    const picture = latentsToImage(ndarray(Float32Array.from([...frame, ...other]), [1, 2, 4, 1, 2]), 2);
    expect([picture.width, picture.height]).toEqual([4, 2]);
    const [left, right] = [
      [0, 128, 0],
      [255, 255, 128],
    ];
    const row = [...left, ...left, ...right, ...right];
    expect(Array.from(picture.data)).toEqual([...row, ...row]);
  });
});
