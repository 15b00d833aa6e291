/** The tensors of a checkpoint under other names and shapes, cut along their first axis, or as halves; all of it while they are read. */
import { halvesOfFloats } from '../core/convert-bits.ts';
import { WeightsError } from '../core/errors.ts';
import {
  checkRange,
  readTensors,
  type StoredDType,
  type StoredTensor,
  type TensorSource,
} from '../core/tensor-source.ts';

/** Where a tensor of a view lies in the source. */
export interface TensorPart {
  /** Its full key there. */
  readonly from: string;
  /** Sizes in the view; as many elements as the part has. */
  readonly shape: readonly number[];
  /** `[i, n]`: the i-th of n equal parts along the first axis; all of the tensor where absent. */
  readonly part?: readonly [index: number, of: number];
}

/**
 * A checkpoint that shows some tensors of another one. Nothing is copied: each read becomes one read of the source.
 * @param source stays open as long as the view is read; `close` of the view is the caller's to give
 * @param parts by the names that the view gives them
 * @param label for messages
 * @throws WeightsError where the source has no such tensor, or one of another size
 */
export function viewTensors(
  source: TensorSource,
  parts: ReadonlyMap<string, TensorPart>,
  label: string = source.label,
): TensorSource {
  const starts = new Map<string, number>();
  const tensors = new Map<string, StoredTensor>();
  for (const [name, { from, shape, part: [index, of] = [0, 1] }] of parts) {
    const stored = source.tensors.get(from);
    if (!stored) throw new WeightsError({ op: 'viewTensors', problem: `no tensor "${from}"`, path: source.label });
    const byteLength = stored.byteLength / of;
    if (product(stored.shape) !== of * product(shape) || !Number.isInteger(byteLength)) {
      throw new WeightsError({
        op: 'viewTensors',
        problem: `"${from}" has no place for ${name}`,
        expected: `${of} x [${shape.join(', ')}]`,
        received: stored.shape,
        path: source.label,
      });
    }
    tensors.set(name, { name, dtype: stored.dtype, shape, byteLength });
    starts.set(name, index * byteLength);
  }
  return {
    label,
    tensors,
    async read(name, start, into): Promise<void> {
      const part = parts.get(name);
      checkRange(label, name, tensors.get(name)?.byteLength, start, into.byteLength);
      if (part) await source.read(part.from, (starts.get(name) ?? 0) + start, into);
    },
    ...(source.readMany && {
      async readMany(ranges, signal): Promise<void> {
        const there = ranges.flatMap(({ name, start, into }) => {
          checkRange(label, name, tensors.get(name)?.byteLength, start, into.byteLength);
          const part = parts.get(name);
          return part ? [{ name: part.from, start: (starts.get(name) ?? 0) + start, into }] : [];
        });
        await readTensors(source, there, signal);
      },
    }),
  };
}

/** Bytes of an element that `halfTensors` turns into a half. */
const WIDE: ReadonlyMap<StoredDType, number> = new Map([
  ['F32', 4],
  ['BF16', 2],
]);
/** Bytes of halves that one read of the source makes. */
const STEP = 2 ** 20;

/**
 * The same tensors with F32 and BF16 rounded to F16 as they are read; beyond 65504 lies infinity.
 * @param source stays open as long as the result is read
 */
export function halfTensors(source: TensorSource): TensorSource {
  const halved = (stored: StoredTensor): StoredTensor =>
    WIDE.has(stored.dtype) ? { ...stored, dtype: 'F16', byteLength: 2 * product(stored.shape) } : stored;
  const tensors = new Map([...source.tensors].map(([name, stored]) => [name, halved(stored)]));
  return {
    label: source.label,
    tensors,
    async read(name, start, into): Promise<void> {
      const { dtype = '' } = source.tensors.get(name) ?? {};
      const width = WIDE.get(dtype);
      checkRange(source.label, name, tensors.get(name)?.byteLength, start, into.byteLength);
      if (width === undefined) return source.read(name, start, into);
      for (let done = 0; done < into.byteLength; done += STEP) {
        const part = into.subarray(done, done + STEP);
        const first = Math.floor((start + done) / 2);
        const count = Math.ceil((start + done + part.byteLength) / 2) - first;
        const wide = new Uint8Array(count * width);
        await source.read(name, first * width, wide);
        const halves = new Uint8Array(halvesOfFloats(floatsOf(wide, dtype)).buffer);
        const skip = start + done - 2 * first;
        part.set(halves.subarray(skip, skip + part.byteLength));
      }
    },
  };
}

function floatsOf(bytes: Uint8Array<ArrayBuffer>, dtype: StoredDType): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  return new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), half => half << 16).buffer);
}

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}
