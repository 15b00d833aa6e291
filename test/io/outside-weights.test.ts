import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ByteSource, TensorSource } from '../../src/core/tensor-source.ts';
import { widened } from '../../src/core/widened-source.ts';
import { PickledObject, PickledStorage, PickledTensor } from '../../src/io/pickled.ts';
import { readFloats } from '../../src/io/read-floats.ts';
import { memorySource } from '../../src/io/sources.ts';
import { openTorchFile } from '../../src/io/torch-file.ts';
import { torchSource } from '../../src/io/torch-tensors.ts';
import { openWeightFile } from '../../src/io/weight-file.ts';

const golden = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../golden/outside-weights/${name}`, import.meta.url)));
type Values = Record<string, { shape: number[]; values: (number | boolean | string)[] }>;
const index: Record<string, Values> = JSON.parse(new TextDecoder().decode(golden('index.json')));
const open = (name: string): Promise<TensorSource> => openWeightFile(memorySource(golden(name), name));

async function bytesOf(source: TensorSource, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(source.tensors.get(name)!.byteLength);
  await source.read(name, 0, bytes);
  return bytes;
}

/** As the script that made the files wrote them down: 16 bits as integers. */
async function valuesOf(source: TensorSource, name: string): Promise<number[]> {
  const { buffer } = await bytesOf(source, name);
  const arrays: Record<string, () => ArrayLike<number | bigint>> = {
    F32: () => new Float32Array(buffer),
    F64: () => new Float64Array(buffer),
    I64: () => new BigInt64Array(buffer),
    I32: () => new Int32Array(buffer),
    ...{ F16: () => new Int16Array(buffer), BF16: () => new Int16Array(buffer) },
    ...{ U8: () => new Uint8Array(buffer), BOOL: () => new Uint8Array(buffer) },
  };
  return Array.from(arrays[source.tensors.get(name)!.dtype]!(), Number);
}

/** Bits of 32-bit floats, all NaNs as one: what is equal here is equal in every bit. */
const bits = (values: ArrayLike<number>): number[] =>
  [...new Uint32Array(Float32Array.from(values).buffer)].map(word => ((word & 0x7fffffff) > 0x7f800000 ? -1 : word));

describe.each(['float8.safetensors', 'float8.bin', 'float8-old.bin'])('64-bit and 8-bit floats of %s', file => {
  it('are those of torch in every bit, all 256 codes, with the scales that stand beside them', async () => {
    const source = await open(file);
    for (const [name, { shape, values }] of Object.entries(index['widened']!)) {
      const read = await readFloats(source, name);
      expect(read.shape, name).toEqual(shape);
      expect(bits(read.data), name).toEqual(bits(values.map(Number)));
    }
  });

  it('are shown as layers take them, without what is only there for the scales', async () => {
    const source = await open(file);
    const shown = widened(source);
    expect(Object.fromEntries([...shown.tensors.values()].map(t => [t.name, t.dtype]).sort())).toEqual({
      ...{ e4m3: 'F16', e5m2: 'F16', double: 'F32', 'one.weight': 'F32', 'one.bias': 'F32', 'each.weight': 'F32' },
      ...{ 'half.weight': 'F32', 'brain.weight': 'F32', 'inverse.weight': 'F32', 'none.weight': 'F16' },
      'block.weight': 'F8_E4M3 with a scale F32 [2, 2]',
      ...{ 'plain.weight': 'F32', 'lone.weight_scale': 'F32' },
    });
    for (const t of shown.tensors.values()) {
      const size = t.dtype === 'F32' ? 4 : t.dtype === 'F16' ? 2 : 1;
      expect(t.byteLength, t.name).toBe(t.shape.reduce((a, b) => a * b, size));
    }
    expect(widened(shown)).toBe(shown);
  });

  it('are read at any byte', async () => {
    const shown = widened(await open(file));
    for (const name of ['e4m3', 'double', 'each.weight', 'plain.weight']) {
      const whole = await bytesOf(shown, name);
      for (let start = 0; start < whole.length; start += 7) {
        const part = new Uint8Array(Math.min(9, whole.length - start));
        await shown.read(name, start, part);
        expect([...part], `${name} from ${start}`).toEqual([...whole.subarray(start, start + part.length)]);
      }
      await expect(shown.read(name, whole.length, new Uint8Array(1))).rejects.toThrow(/beyond the end/);
      await expect(shown.read(name, -1, new Uint8Array(1))).rejects.toThrow(/beyond the end/);
    }
    await expect(shown.read('none', 0, new Uint8Array(1))).rejects.toThrow(/no tensor "none"/);
  });
});

describe('widened', () => {
  it('is the source itself where nothing is to be done', async () => {
    const source = await open('no-checksums.bin');
    expect(widened(source)).toBe(source);
  });

  it('reads no more than the scale and the asked elements, in pieces', async () => {
    const size = 9_000_000;
    const reads: number[] = [];
    const stored = (name: string, dtype: string, shape: number[], byteLength: number) =>
      [name, { name, dtype, shape, byteLength }] as const;
    const source = widened({
      label: 'counted',
      tensors: new Map([stored('w.weight', 'F8_E4M3', [size], size), stored('w.weight_scale', 'F32', [], 4)]),
      async read(name, start, into) {
        if (name === 'w.weight_scale') new DataView(into.buffer).setFloat32(0, 2, true);
        else for (let i = 0; i < into.length; i++) into[i] = (start + i) % 120;
        reads.push(into.length);
      },
    });
    const bytes = new Uint8Array(4 * size);
    await source.read('w.weight', 0, bytes);
    expect(reads).toEqual([4, 2 ** 22, 2 ** 22, size - 2 ** 23]);
    reads.length = 0;
    const one = new Uint8Array(4);
    await source.read('w.weight', 4 * 8_000_001, one);
    expect(reads).toEqual([1]);
    expect([...one]).toEqual([...bytes.subarray(4 * 8_000_001, 4 * 8_000_002)]);
  });
});

describe('checkpoints as trainers and old versions of torch leave them', () => {
  it.each(Object.keys(index).filter(name => name.includes('.')))(
    'give every tensor of %s as torch does',
    async name => {
      const source = await open(name);
      expect([...source.tensors.keys()]).toEqual(Object.keys(index[name]!));
      for (const [key, { shape, values }] of Object.entries(index[name]!)) {
        expect(source.tensors.get(key)?.shape, key).toEqual(shape);
        expect(await valuesOf(source, key), key).toEqual(values.map(Number));
      }
    },
  );

  it('keep what stands beside the weights as plain values and as objects that nothing stands behind', async () => {
    for (const name of ['trained.ckpt', 'trained-protocol4.ckpt', 'trained-protocol5.ckpt', 'trained-old.ckpt']) {
      const { root } = await openTorchFile(memorySource(golden(name), name));
      if (!(root instanceof Map)) throw new Error('no dict');
      expect(root.get('global_step')).toBe(470000);
      const settings = root.get('hyper_parameters');
      if (!(settings instanceof PickledObject)) throw new Error('no object');
      expect(settings.name).toBe('pytorch_lightning.utilities.parsing.AttributeDict');
      expect(settings.entries?.get('target')).toBe('ldm.Model');
      const extras = root.get('extras');
      expect(Array.isArray(extras) && extras.length, name).toBe(27);
      expect(extras, name).toContain(2 ** 100);
      expect(extras, name).toContain(-(2 ** 70));
    }
  });

  it('are read in bounded windows where the elements of a tensor lie far from one another', async () => {
    const count = 6_000_000;
    let largest = 0;
    const bytes: ByteSource = {
      label: 'far',
      byteLength: 8 * count,
      async read(offset, into) {
        largest = Math.max(largest, into.byteLength);
        const numbers = new Float64Array(into.buffer, into.byteOffset, into.byteLength / 8);
        for (let i = 0; i < numbers.length; i++) numbers[i] = offset / 8 + i;
      },
    };
    const far = new PickledTensor(new PickledStorage('F64', '0', 8 * count), 'F64', 0, [2, count / 2], [1, 2]);
    const source = await torchSource(bytes, new Map([['far', far]]), () => ({ start: 0 }));
    const row = new Float64Array(count / 2);
    await source.read('far', 8 * (count / 2), new Uint8Array(row.buffer));
    expect(row.every((value, i) => value === 2 * i + 1)).toBe(true);
    expect(largest).toBe(32 * 2 ** 20);
  });

  it('show tensors that only torch can make under their kind, and read none of them', async () => {
    const source = await open('odd-kinds.bin');
    expect([...source.tensors.values()].map(t => `${t.name} ${t.dtype}`)).toEqual([
      'w F32',
      'q qtensor',
      's sparse_tensor',
      'c tensor_v2',
      'u U16',
    ]);
    await expect(source.read('q', 0, new Uint8Array(1))).rejects.toThrow(/beyond the end of tensor "q"/);
  });

  it('are refused with the remedy where a whole network was saved', async () => {
    await expect(open('whole-module.bin')).rejects.toThrowErrorMatchingInlineSnapshot(
      `[WeightsError: torch: the checkpoint is a Python object, not a dict of tensors: got torch.nn.modules.linear.Linear (whole-module.bin). Save its state dict in Python: torch.save(model.state_dict(), path).]`,
    );
  });

  it('are refused where a checksum, a count or a key of the storages is another', async () => {
    const zip = golden('trained.ckpt');
    const at = Buffer.from(zip).indexOf('global_step');
    zip[at] ^= 1;
    await expect(openWeightFile(memorySource(zip, 'z'))).rejects.toThrow(
      /the entry "trained\/data\.pkl" is damaged: its checksum is another/,
    );
    const old = golden('old.bin');
    const sizes = Buffer.from(old).lastIndexOf(Uint8Array.of(24, 0, 0, 0, 0, 0, 0, 0));
    const longer = old.slice();
    longer[sizes]++;
    await expect(openWeightFile(memorySource(longer, 'o'))).rejects.toThrow(
      /another size than the pickle says: got 25 of 24/,
    );
    await expect(openWeightFile(memorySource(old.subarray(0, -1), 'o'))).rejects.toThrow(/cut short/);
    for (let length = 0; length < old.length; length += 13) {
      await expect(openWeightFile(memorySource(old.subarray(0, length), 'o'))).rejects.toMatchObject({
        code: 'weights',
      });
    }
  });
});
