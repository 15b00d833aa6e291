import { existsSync, readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { PickledObject } from '../../src/io/pickled.ts';
import { memorySource } from '../../src/io/sources.ts';
import { openTorchZip } from '../../src/io/torch-zip.ts';
import { unpickle } from '../../src/io/unpickle.ts';
import { dataOffset, readZipDirectory } from '../../src/io/zip.ts';

const golden = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../golden/torch/${name}`, import.meta.url)));
const index = JSON.parse(new TextDecoder().decode(golden('index.json')));
const open = (name: string, bytes: Uint8Array = golden(name)): Promise<TensorSource> =>
  openTorchZip(memorySource(bytes, name));

async function values(source: TensorSource, name: string): Promise<number[]> {
  const tensor = source.tensors.get(name)!;
  const bytes = new Uint8Array(tensor.byteLength);
  await source.read(name, 0, bytes);
  const { buffer } = bytes;
  const arrays: Record<string, ArrayLike<number | bigint>> = {
    get F32() {
      return new Float32Array(buffer);
    },
    get F64() {
      return new Float64Array(buffer);
    },
    get F16() {
      return new Int16Array(buffer);
    },
    get BF16() {
      return new Int16Array(buffer);
    },
    get I64() {
      return new BigInt64Array(buffer);
    },
    get I32() {
      return new Int32Array(buffer);
    },
    get I16() {
      return new Int16Array(buffer);
    },
    get I8() {
      return new Int8Array(buffer);
    },
    get U8() {
      return bytes;
    },
    get BOOL() {
      return bytes;
    },
  };
  return Array.from(arrays[tensor.dtype]!, Number);
}

describe('openTorchZip', () => {
  it.each([
    'kinds.bin',
    'kinds-protocol4.bin',
    'module.bin',
    'parameters.bin',
    'shared.bin',
    'nested.bin',
    'zip64.bin',
  ])('reads every tensor of %s as torch does', async name => {
    const source = await open(name);
    expect([...source.tensors.keys()]).toEqual(Object.keys(index[name]));
    for (const [key, { shape, values: expected }] of Object.entries<{ shape: number[]; values: (number | boolean)[] }>(
      index[name],
    )) {
      expect(source.tensors.get(key)?.shape, key).toEqual(shape);
      expect(await values(source, key), key).toEqual(expected.map(Number));
    }
  });

  it('names dtypes as safetensors does', async () => {
    const source = await open('kinds.bin');
    expect([...source.tensors.values()].map(t => `${t.name} ${t.dtype}`)).toEqual([
      'f32 F32',
      'f16 F16',
      'bf16 BF16',
      'f64 F64',
      'i64 I64',
      'i32 I32',
      'i16 I16',
      'i8 I8',
      'u8 U8',
      'bool BOOL',
      'scalar F32',
      'empty F32',
    ]);
  });

  it('reads ranges at any byte, of contiguous and of transposed tensors', async () => {
    const source = await open('shared.bin');
    for (const name of ['rows', 'transposed', 'conv']) {
      const whole = new Uint8Array(source.tensors.get(name)!.byteLength);
      await source.read(name, 0, whole);
      for (const [start, length] of [
        [0, 1],
        [3, 6],
        [5, 22],
        [whole.length - 7, 7],
      ] as const) {
        const part = new Uint8Array(length);
        await source.read(name, start, part);
        expect([...part]).toEqual([...whole.subarray(start, start + length)]);
      }
      await expect(source.read(name, whole.length, new Uint8Array(1))).rejects.toThrow(/beyond the end/);
    }
    await expect(source.read('none', 0, new Uint8Array(1))).rejects.toThrow(/no tensor "none"/);
  });

  it('reads no more of the file than the pickle and the asked range', async () => {
    const memory = memorySource(golden('module.bin'), 'm');
    let bytes = 0;
    const source = await openTorchZip({
      ...memory,
      read(offset, into) {
        bytes += into.byteLength;
        return memory.read(offset, into);
      },
    });
    bytes = 0;
    await source.read('0.weight', 4, new Uint8Array(8));
    expect(bytes).toBe(8);
  });

  it.each(['evil.bin', 'evil-protocol4.bin'])(
    'refuses %s by the name of what it would call, and runs nothing',
    async name => {
      await expect(open(name)).rejects.toThrow(
        /^unpickle: refused, nothing was executed: the file asks to run something: got posix\.system \(evil.*data\.pkl\)\. Do not open/,
      );
      expect(existsSync('/tmp/pentimento-was-here')).toBe(false);
    },
  );

  it('passes over classes, sets and bytes beside the weights, and names complex numbers', async () => {
    for (const name of ['class.bin', 'set.bin', 'bytes.bin']) {
      const source = await open(name);
      expect([...source.tensors.keys()], name).toEqual(['w']);
      expect(await values(source, 'w')).toEqual([1, 1]);
    }
    expect((await open('complex.bin')).tensors.get('z')).toEqual({
      name: 'z',
      dtype: 'C64',
      shape: [2],
      byteLength: 16,
    });
  });

  it('refuses files of another format with the remedy', async () => {
    await expect(open('old-format.bin')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: torch: not a zip file: got bytes 128 2 138 10 (old-format.bin). Download the file again.]`,
    );
    await expect(
      open('x.bin', new TextEncoder().encode('version https://git-lfs')),
    ).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: torch: a text in place of the file, it begins "version https://git-lfs" (x.bin). Download the file itself: the address was that of a page, or the server wanted a login or a token.]`,
    );
    await expect(open('x.bin', new Uint8Array())).rejects.toThrow(/not a zip file/);
  });

  it('refuses what holds no tensors, or not all that it names', async () => {
    await expect(open('bare-tensor.bin')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: torch: the checkpoint is not a dict of tensors (bare-tensor.bin). Save the weights as safetensors, or download the file again.]`,
    );
    await expect(open('no-tensors.bin')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: torch: the checkpoint holds no tensors at the top or under "state_dict": got [a] (no-tensors.bin). Save the weights as safetensors, or download the file again.]`,
    );
    await expect(open('missing-storage.bin')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: torch: storage 1 is missing (missing-storage.bin). Save the weights as safetensors, or download the file again.]`,
    );
    await expect(open('big-endian.bin')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: torch: the byte order is not little-endian: got big (big-endian.bin). Save the weights as safetensors, or download the file again.]`,
    );
    await expect(open('compressed.bin')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: zip: the entry "module/data.pkl" is compressed (compressed.bin). Save it with torch.save, which stores its entries.]`,
    );
  });

  it('refuses every file that is cut short, and closes it', async () => {
    const whole = golden('module.bin');
    for (let length = 0; length < whole.length; length += 7) {
      let closed = 0;
      const source = { ...memorySource(whole.subarray(0, length), 'cut'), close: async () => void closed++ };
      await expect(openTorchZip(source)).rejects.toMatchObject({ name: 'WeightsError' });
      expect(closed).toBe(1);
    }
  });
});

describe('unpickle', () => {
  const run = (...parts: (string | number[])[]): unknown =>
    unpickle(Uint8Array.from(parts.flatMap(p => (typeof p === 'string' ? [...p].map(c => c.charCodeAt(0)) : p))), 'p');

  it('builds plain containers', () => {
    // {'a': [1, -2, None], 'b': (True, 1.5)} by hand
    const pickle = run(
      [0x80, 2],
      '}(',
      'X',
      [1, 0, 0, 0],
      'a',
      ']q',
      [0],
      '(K',
      [1],
      'J',
      [254, 255, 255, 255],
      'Ne',
      'X',
      [1, 0, 0, 0],
      'b',
      [0x88],
      'G',
      [0x3f, 0xf8, 0, 0, 0, 0, 0, 0],
      [0x86],
      'u.',
    );
    expect(pickle).toEqual(
      new Map<string, unknown>([
        ['a', [1, -2, null]],
        ['b', [true, 1.5]],
      ]),
    );
  });

  it('reads long integers in two complement', () => {
    expect(run([0x80, 2, 0x8a, 2, 0, 0xff], '.')).toBe(-256);
    expect(run([0x80, 2, 0x8a, 0], '.')).toBe(0);
  });

  it.each([
    ['an unknown opcode', ['I1\n.'], /an opcode that checkpoints do not need: got 0x49/],
    ['an instance of nothing', [[0x80, 2], ')\x81.'], /the stack is empty/],
    ['an instance of a number', [[0x80, 2], 'K', [1], ')\x81.'], /a call of something that is no name/],
    ['a call without arguments', [[0x80, 2], 'ca\nb\nNR.'], /a call without a list of arguments/],
    ['an extension', [[0x80, 2, 0x82, 1], '.'], /0x82/],
    ['a protocol of the future', [[0x80, 6], 'N.'], /unknown pickle protocol: got 6/],
    ['an empty stack', [[0x80, 2], '.'], /the stack is empty/],
    ['a missing mark', [[0x80, 2], 'Nt.'], /a mark is missing/],
    ['a missing memo', [[0x80, 2], 'h', [7], '.'], /a memo entry is missing: got 7/],
    ['left over values', [[0x80, 2], 'NN.'], /left over/],
    ['the end', [[0x80, 2], 'K'], /cut short/],
    ['a name without an end', [[0x80, 2], 'cos'], /cut short/],
    ['a call of a number', [[0x80, 2], 'K', [1], ')R.'], /a call of something that is no name/],
    ['append to a number', [[0x80, 2], 'K', [1], 'Na.'], /no list/],
    ['items for a list', [[0x80, 2], ']NNs.'], /no dict/],
    ['attributes of a number', [[0x80, 2], 'K', [1], 'Nb.'], /attributes/],
    ['a strange persistent id', [[0x80, 2], 'K', [1], 'Q.'], /unknown persistent id/],
    ['builtins', [[0x80, 2], 'cbuiltins\neval\n.'], /got builtins\.eval/],
  ])('refuses %s', (_, parts, message) => {
    expect(() => run(...(parts as (string | number[])[]))).toThrow(message);
  });

  it('refuses tensors that reach beyond their storage, and makes none of those with extra state', () => {
    const str = (s: string): (string | number[])[] => ['X', [s.length, 0, 0, 0], s];
    const tensor = (...rest: (string | number[])[]): unknown =>
      run(
        [0x80, 2],
        'ctorch._utils\n_rebuild_tensor_v2\n((',
        ...str('storage'),
        'ctorch\nFloatStorage\n',
        ...str('0'),
        ...str('cpu'),
        'K',
        [4],
        'tQ',
        ...rest,
        'tR.',
      );
    expect(() => tensor('K', [2], 'K', [3], [0x85], 'K', [1], [0x85])).toThrow(
      /reaches beyond storage 0: got 5 of 4 elements/,
    );
    expect(() => tensor('J', [255, 255, 255, 255], 'K', [3], [0x85], 'K', [1], [0x85])).toThrow(/unexpected arguments/);
    expect(() => tensor('K', [0], 'K', [3], [0x85], ')')).toThrow(/other strides than sizes/);
    const lazy = ['}(', ...str('conj'), [0x88], 'u'];
    const conjugate = tensor('K', [0], 'K', [3], [0x85], 'K', [1], [0x85], [0x89], '}', ...lazy);
    expect(conjugate).toBeInstanceOf(PickledObject);
    expect(conjugate).toMatchObject({ name: 'torch._utils._rebuild_tensor_v2' });
    expect(tensor('K', [0], 'K', [4], [0x85], 'K', [1], [0x85])).toMatchObject({ offset: 0, shape: [4], stride: [1] });
  });
});

describe('readZipDirectory', () => {
  /** One stored entry, with every size and offset in zip64 fields. */
  function zip64(name: string, data: Uint8Array, { flags = 0 } = {}): Uint8Array<ArrayBuffer> {
    const out = new DataView(new ArrayBuffer(400 + data.length));
    let at = 0;
    const u16 = (...v: number[]): void =>
      v.forEach(x => {
        out.setUint16(at, x, true);
        at += 2;
      });
    const u32 = (...v: number[]): void =>
      v.forEach(x => {
        out.setUint32(at, x, true);
        at += 4;
      });
    const u64 = (...v: number[]): void =>
      v.forEach(x => {
        out.setBigUint64(at, BigInt(x), true);
        at += 8;
      });
    const text = (bytes: Uint8Array): void => {
      new Uint8Array(out.buffer).set(bytes, at);
      at += bytes.length;
    };
    const label = new TextEncoder().encode(name);
    const all = 0xffffffff;
    u32(0x04034b50);
    u16(45, flags, 0, 0, 0);
    u32(crc32(data), all, all);
    u16(label.length, 20);
    text(label);
    u16(1, 16);
    u64(data.length, data.length);
    text(data);
    const start = at;
    u32(0x02014b50);
    u16(45, 45, flags, 0, 0, 0);
    u32(crc32(data), all, all);
    u16(label.length, 4 + 2 + 28, 0, 0, 0);
    u32(0, all);
    text(label);
    u16(0x7777, 2, 0);
    u16(1, 24);
    u64(data.length, data.length, 0);
    const end = at;
    u32(0x06064b50);
    u64(44);
    u16(45, 45);
    u32(0, 0);
    u64(1, 1, end - start, start);
    u32(0x07064b50, 0);
    u64(end);
    u32(1);
    u32(0x06054b50);
    u16(0, 0, 0xffff, 0xffff);
    u32(all, all);
    u16(0);
    return new Uint8Array(out.buffer, 0, at);
  }

  it('reads zip64 records', async () => {
    const source = memorySource(zip64('a/data.pkl', Uint8Array.of(1, 2, 3)), 'z');
    const entry = (await readZipDirectory(source)).get('a/data.pkl')!;
    const bytes = new Uint8Array(entry.byteLength);
    await source.read(await dataOffset(source, entry), bytes);
    expect([...bytes]).toEqual([1, 2, 3]);
  });

  it('refuses encrypted entries and damaged records', async () => {
    const secret = zip64('a', Uint8Array.of(1), { flags: 1 });
    await expect(readZipDirectory(memorySource(secret, 'z'))).rejects.toThrow(/"a" is encrypted/);
    const good = zip64('a', Uint8Array.of(1));
    for (const signature of [0x02014b50, 0x06064b50]) {
      const bad = good.slice();
      const at = bad.findIndex(
        (_, i) => i + 4 <= bad.length && new DataView(bad.buffer).getUint32(i, true) === signature,
      );
      bad[at] = 0;
      await expect(readZipDirectory(memorySource(bad, 'z'))).rejects.toThrow(/is damaged/);
    }
    await expect(readZipDirectory(memorySource(new Uint8Array(30), 'z'))).rejects.toThrow(
      /the end of the zip file is missing/,
    );
  });
});
