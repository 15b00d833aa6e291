/** Picture files as people bring them: Pillow's pixels by every way of reading, or an error that names what it is. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { loadImage } from '../../src/io/load-image.ts';
import { decodeImage, readImage } from '../../src/node/images.ts';
import { allocated, poisonMemory } from '../support/allocations.ts';
import { type Brought, brought, broughtBytes, broughtPath } from './brought.ts';
import { difference, sha256 } from './pillow.ts';

const ofKind = (pattern: RegExp): Brought[] => brought.filter(c => c.sha256 !== undefined && pattern.test(c.file));
/** libjpeg smooths what only has constant terms; here its blocks are seen. */
const SMOOTHED = 'damaged-scans-missing.jpg';
const BOMB = 'cases/j_bomb_12k.jpg';

/** What each way of reading says. */
async function messages(name: string, options = {}): Promise<string[]> {
  const bytes = broughtBytes(name);
  const ways = [
    () => readImage(broughtPath(name), options),
    () => loadImage(bytes, options),
    async () => decodeImage(bytes, name, options),
  ];
  return Promise.all(
    ways.map(way =>
      way().then(
        image => `${image.width} x ${image.height}`,
        (error: Error) => `${error.name}: ${error.message.replaceAll(broughtPath(name), name)}`,
      ),
    ),
  );
}

describe('a picture that Pillow opens', () => {
  it.each(ofKind(/\.(png|jpg|gif|bmp)$/).filter(c => c.file !== SMOOTHED))(
    '$file has its pixels everywhere',
    async c => {
      const bytes = broughtBytes(c.file);
      const image = decodeImage(bytes);
      expect([image.width, image.height, sha256(image.data)]).toEqual([c.width, c.height, c.sha256]);
      expect(await loadImage(bytes)).toEqual(image);
      expect(await readImage(broughtPath(c.file))).toEqual(image);
    },
  );

  it.each(ofKind(/\.webp$/))('$file has its pixels in Node', async c => {
    const image = await readImage(broughtPath(c.file));
    expect([image.width, image.height, sha256(image.data)]).toEqual([c.width, c.height, c.sha256]);
    const bytes = broughtBytes(c.file);
    expect(await readImage(bytes)).toEqual(image);
    expect(await readImage(new Blob([Uint8Array.from(bytes)]))).toEqual(image);
  });

  it('of AVIF is near it: two decoders round in other places', async () => {
    const image = await readImage(broughtPath('whole-colour.avif'));
    const expected = decodeImage(broughtBytes('whole-colour.avif.png'));
    expect(difference(image.data, expected.data).worst).toBeLessThanOrEqual(2);
  });

  it('comes with a warning where it is damaged', async () => {
    const heard = async (name: string): Promise<string[]> => {
      const said: string[] = [];
      await messages(name, { onWarning: (message: string) => said.push(message.replace(/ \(.*\)$/, '')) });
      return [...new Set(said)];
    };
    expect(await heard('cases/p_no_iend.png')).toMatchInlineSnapshot(`
      [
        "loadImage: the PNG is damaged: the file ends without IEND; its pixels are all there",
      ]
    `);
    expect(await heard('cases/p_bad_crc_idat.png')).toMatchInlineSnapshot(`
      [
        "loadImage: the PNG is damaged: a wrong checksum of IDAT; its pixels are all there",
      ]
    `);
    expect(await heard('png-unknown-chunk.png')).toMatchInlineSnapshot(`
      [
        "loadImage: the PNG is damaged: an unknown chunk ABCD; its pixels are all there",
      ]
    `);
    expect(await heard(SMOOTHED)).toEqual(await heard('damaged-restart-missing.jpg'));
    expect(await heard('damaged-restart-missing.jpg')).toMatchInlineSnapshot(`
      [
        "loadImage: the JPEG is damaged: some of its pixels are not what was saved",
      ]
    `);
    expect(await heard('rgb-420-sequential.jpg')).toEqual([]);
  });
});

describe('a file whose pixels are not there', () => {
  it.each(['cases/s_row_1000.png', 'cases/r_512_half.png'])('%s is refused whatever the memory holds', async name => {
    const text = 'Bearer of a word that no picture holds. ';
    for (let i = 0; i < 50; i++) {
      poisonMemory(text);
      for (const message of await messages(name))
        expect(message).toMatch(/^InputError: loadImage: the PNG is damaged: the pixels are cut short/);
    }
  });

  it.each([BOMB, 'cases/p_bomb_13k.png'])('%s is refused at once, without memory for its pixels', async name => {
    const bytes = broughtBytes(name);
    const { error, sizeBytes, elapsedMs } = await allocated(() => loadImage(bytes));
    expect(String(error)).toMatch(/InputError: loadImage: the (PNG|JPEG) is damaged: the pixels are cut short/);
    expect(sizeBytes).toBeLessThan(100_000);
    expect(elapsedMs).toBeLessThan(200);
    expect(new Set(await messages(name)).size).toBeLessThanOrEqual(2);
  });

  it('is refused where a GIF says that there is a large screen around it', async () => {
    const bytes = broughtBytes('few-colours.gif').slice();
    bytes.set([200, 50, 200, 50], 6); // 13000 x 13000
    const { error, sizeBytes } = await allocated(() => decodeImage(bytes));
    expect(String(error)).toMatch(/the GIF is damaged: a screen of 13000 x 13000 for a picture of 13 x 9/);
    expect(sizeBytes).toBeLessThan(100_000);
  });

  it.each([
    ['runs.bmp', 3],
    ['few-colours.gif', 10],
    ['interlaced.gif', 40],
    ['rgb.bmp', 2],
    ['4-bits.bmp', 4],
    ['16-bits.bmp', 3],
    ['rgb-420-sequential.jpg', 20],
    ['rgb-444-progressive.jpg', 1],
  ])('%s is refused without its last %i bytes', async (name, missing) => {
    const bytes = broughtBytes(name).slice(0, -missing);
    expect(() => decodeImage(bytes)).toThrow(/^loadImage: the (GIF|BMP|JPEG) is damaged: the pixels are cut short/);
    await expect(loadImage(bytes)).rejects.toThrow('the pixels are cut short');
  });

  it('is refused where half of a JPEG is missing', async () => {
    const bytes = broughtBytes('rgb-420-sequential.jpg');
    const scan = bytes.findIndex((v, i) => v === 0xff && bytes[i + 1] === 0xda) + 14;
    const short = Uint8Array.from([...bytes.subarray(0, scan + (bytes.length - scan) / 4), 0xff, 0xd9]);
    expect(() => decodeImage(short)).toThrow('loadImage: the JPEG is damaged: the pixels are cut short');
  });
});

describe('a WebP or AVIF that is damaged', () => {
  it.each(['lossless.webp', 'whole-colour.avif'])('%s is refused in one line', async name => {
    const bytes = broughtBytes(name);
    for (const length of [40, bytes.length >> 1, bytes.length - 20]) {
      const said = await readImage(bytes.subarray(0, length)).catch((error: Error) => error.message);
      expect(said).toMatch(/^loadImage: the (WebP|AVIF) is damaged: [^\n]+\. Download or save it again\.$/);
    }
  });
});

describe('the cap on pixels', () => {
  it('is an option of every way, and is checked before memory is taken', async () => {
    for (const name of ['png-more-rows.png', 'rgb-420-sequential.jpg', 'interlaced.gif', 'rgb.bmp']) {
      for (const message of await messages(name, { maxPixels: 70 })) {
        expect(message).toMatch(
          /InputError: loadImage: the picture is too large: expected at most 70 pixels, got \d+ x/,
        );
        expect(message).toContain('Make it smaller first, or raise maxPixels.');
      }
      for (const message of await messages(name, { maxPixels: 5000 })) expect(message).toMatch(/^\d+ x \d+$/);
    }
    for (const name of ['lossless.webp', 'whole-colour.avif'])
      await expect(readImage(broughtPath(name), { maxPixels: 116 })).rejects.toThrow('at most 116 pixels, got 13 x 9');
  });

  it("lets Pillow's limit pass and no more where nothing is said", async () => {
    const claim = (width: number, height: number): Uint8Array => {
      const bytes = broughtBytes('rgb.bmp').slice();
      new DataView(bytes.buffer).setInt32(18, width, true);
      new DataView(bytes.buffer).setInt32(22, height, true);
      return bytes;
    };
    expect(() => decodeImage(claim(178_956_970, 1))).toThrow('the pixels are cut short');
    expect(() => decodeImage(claim(178_956_971, 1))).toThrow('too large: expected at most 178956970 pixels');
    expect(() => decodeImage(claim(178_956_971, 1), 'a', { maxPixels: Infinity })).toThrow('the pixels are cut short');
  });

  it('is a whole number', async () => {
    for (const maxPixels of [0, -1, 1.5, Number.NaN])
      await expect(readImage(broughtPath('rgb.bmp'), { maxPixels })).rejects.toThrow(
        `readImage: no limit: expected a whole number from 1 on, got ${maxPixels} (maxPixels)`,
      );
  });
});

describe('what stands in place of a picture', () => {
  it('is named', async () => {
    for (const message of await messages('cases/x_lfs.png'))
      expect(message).toMatch(
        /got a Git LFS pointer.* It stands in place of the picture: fetch that with git lfs pull\.$/,
      );
  });

  it('says which package reads what, where that is not installed', async () => {
    const said = await loadImage(broughtBytes('lossy.webp')).catch((error: Error) => error.message);
    expect(said).toMatchInlineSnapshot(
      `"loadImage: not a picture that can be read: expected PNG, JPEG, GIF or BMP, got WebP. In Node readImage of 'pentimento/node' reads it where the package sharp is installed; else convert it to PNG or JPEG first."`,
    );
    vi.resetModules();
    vi.doMock('sharp', () => {
      throw new TypeError('no such package');
    });
    const { readImage: alone } = await import('../../src/node/images.ts');
    const inNode = await alone(broughtBytes('lossy.webp')).catch((error: Error) => error.message);
    expect(inNode).toBe(
      'loadImage: WebP is read by the package sharp, which is not here. Install it (npm install sharp), or convert the picture to PNG or JPEG first.',
    );
    vi.doUnmock('sharp');
    const plain = readFileSync(fileURLToPath(new URL('../../package.json', import.meta.url)), 'utf8');
    expect(JSON.parse(plain).peerDependenciesMeta.sharp).toEqual({ optional: true });
  });
});
