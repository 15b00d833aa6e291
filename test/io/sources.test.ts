import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../../src/core/tensor-source.ts';
import { blobSource, fileListFolder, mapFolder, memorySource, readerSource } from '../../src/io/sources.ts';

const bytes = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7);
const reader = (extra: object = {}): Parameters<typeof readerSource>[0] => ({
  byteLength: 8,
  read: (offset: number, length: number) => bytes.slice(offset, offset + length),
  ...extra,
});

const sources: [string, () => ByteSource][] = [
  ['an ArrayBuffer', () => memorySource(bytes.slice().buffer)],
  ['a view of a larger buffer', () => memorySource(Uint8Array.of(9, ...bytes, 9).subarray(1, 9))],
  ['a Blob', () => blobSource(new Blob([bytes]))],
  ['a reader', () => readerSource(reader())],
  [
    'a reader of buffers',
    () => readerSource(reader({ read: async (o: number, n: number) => bytes.slice(o, o + n).buffer })),
  ],
];

describe.each(sources)('bytes of %s', (_, make) => {
  it('are read at any offset, into a view', async () => {
    const source = make();
    expect(source.byteLength).toBe(8);
    const into = new Uint8Array(6);
    await source.read(2, into.subarray(1, 4));
    await source.read(8, into.subarray(0, 0));
    expect([...into]).toEqual([0, 2, 3, 4, 0, 0]);
  });

  it('end where they end', async () => {
    await expect(make().read(6, new Uint8Array(3))).rejects.toThrow(
      /^read: bytes beyond the end: expected a range within 8 bytes, got 6 to 9/,
    );
    await expect(make().read(-1, new Uint8Array(1))).rejects.toThrow(/beyond the end/);
    await expect(make().read(0.5, new Uint8Array(1))).rejects.toThrow(/beyond the end/);
  });
});

describe('readerSource', () => {
  it('closes the caller’s object, and names it', async () => {
    let closed = 0;
    const source = readerSource(reader({ label: 'mine', close: async () => void closed++ }));
    await source.close?.();
    expect([source.label, closed]).toEqual(['mine', 1]);
  });

  it('refuses a reader that returns too little, or has no size', async () => {
    const short = readerSource(reader({ read: () => new Uint8Array(1) }));
    await expect(short.read(0, new Uint8Array(2))).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: read: the reader returned another number of bytes than asked for: expected 2, got 1 (reader)]`,
    );
    expect(() => readerSource(reader({ byteLength: undefined }))).toThrowErrorMatchingInlineSnapshot(
      `[InputError: readerSource: byteLength is no size: got undefined]`,
    );
  });
});

describe('mapFolder', () => {
  const folder = mapFolder(
    {
      'unet/config.json': '{"a":1}',
      './b.bin': bytes,
      'c.bin': new Blob([bytes]),
      'd.bin': bytes.slice().buffer,
      e: memorySource(bytes),
    },
    'model',
  );

  it('finds text and bytes by path', async () => {
    expect(await folder.text('unet/config.json')).toBe('{"a":1}');
    for (const path of ['b.bin', 'c.bin', 'd.bin', 'e']) expect((await folder.bytes(path)).byteLength).toBe(8);
    expect((await folder.bytes('c.bin')).label).toBe('model/c.bin');
    expect([await folder.has('b.bin'), await folder.has('unet'), await folder.has('x')]).toEqual([true, false, false]);
  });

  it('names a file that is not there', async () => {
    await expect(folder.text('x.json')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: folder: no file "x.json" (model)]`,
    );
  });
});

describe('fileListFolder', () => {
  it('takes the common first segment for the folder’s name', async () => {
    const file = (path: string): File =>
      Object.assign(new File(['hi'], path.split('/').at(-1) ?? ''), { webkitRelativePath: path });
    const folder = fileListFolder([file('sd/model_index.json'), file('sd/vae/config.json')]);
    expect(folder.label).toBe('sd');
    expect(await folder.text('vae/config.json')).toBe('hi');
    expect(await folder.has('model_index.json')).toBe(true);
    expect(() => fileListFolder([])).toThrowErrorMatchingInlineSnapshot(
      `[InputError: fileListFolder: no files. Choose a model folder.]`,
    );
  });
});
