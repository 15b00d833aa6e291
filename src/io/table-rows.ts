/** A checkpoint in which one table has other rows: what is added lies in memory, everything else is read from the file as before. */
import { DTypeError, WeightsError } from '../core/errors.ts';
import { checkRange, readManyOfView, type StoredTensor, type TensorSource } from '../core/tensor-source.ts';
import { isLoadable, LOADABLE, widened } from '../core/widened-source.ts';
import { readFloatRange } from './float-range.ts';

const OP = 'withTableRows';
/** Elements that are widened at a time. */
const PIECE = 2 ** 20;

/**
 * Shows a table [count, width] with rows of its own: those within it stand in place of the stored ones, the others behind its
 * end. The whole table is shown as F32, whatever the file holds, so that the new rows keep every bit; nothing is held in
 * memory but them.
 * @param checkpoint closed by the result's `close`
 * @param name full key of the table
 * @param rows values by row number, `width` each
 * @returns the same checkpoint but for the table
 * @throws WeightsError without such a table, for rows of another width, and where a row between would have no values;
 * DTypeError for a table that does not hold floats
 */
export function withTableRows(
  checkpoint: TensorSource,
  name: string,
  rows: ReadonlyMap<number, Float32Array>,
): TensorSource {
  const source = widened(checkpoint);
  const stored = source.tensors.get(name);
  const [count, width] = stored?.shape ?? [];
  if (stored?.shape.length !== 2 || count === undefined || width === undefined) {
    const received = stored ? stored.shape : 'no such tensor';
    throw refusal(source, name, 'no table to put rows in', '[count, width]', received);
  }
  checkRows(source, name, rows, { count, width });
  const rowBytes = 4 * width;
  const total = Math.max(count, ...[...rows.keys()].map(row => row + 1));
  const shown: StoredTensor = { name, dtype: 'F32', shape: [total, width], byteLength: total * rowBytes };
  if (!isLoadable(stored.dtype)) {
    const [problem, expected] = ['the table does not hold floats', LOADABLE.join(', ')];
    throw new DTypeError({ op: OP, problem, expected, received: stored.dtype, path: `${source.label}: ${name}` });
  }
  const view: TensorSource = {
    label: source.label,
    tensors: new Map([...source.tensors].map(([key, tensor]) => [key, key === name ? shown : tensor])),
    async read(key, start, into): Promise<void> {
      if (key !== name) return source.read(key, start, into);
      checkRange(source.label, name, shown.byteLength, start, into.byteLength);
      const old = Math.min(into.byteLength, Math.max(0, count * rowBytes - start));
      if (old > 0) await readWide(source, stored, start, into.subarray(0, old));
      for (const [row, values] of rows) {
        const begin = row * rowBytes;
        const [from, to] = [Math.max(begin, start), Math.min(begin + rowBytes, start + into.byteLength)];
        if (from >= to) continue;
        const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
        into.set(bytes.subarray(from - begin, to - begin), from - start);
      }
    },
    close: async () => source.close?.(),
  };
  return { ...view, ...readManyOfView(source, key => key === name, view.read) };
}

function checkRows(
  source: TensorSource,
  name: string,
  rows: ReadonlyMap<number, Float32Array>,
  { count, width }: { readonly count: number; readonly width: number },
): void {
  for (const [row, values] of rows) {
    if (values.length !== width) throw refusal(source, name, `row ${row} is of another width`, width, values.length);
  }
  const behind = [...rows.keys()].filter(row => row >= count).sort((a, b) => a - b);
  const gap = behind.findIndex((row, i) => row !== count + i);
  if (gap < 0) return;
  throw refusal(source, name, 'a row before the new ones has no values', `row ${count + gap}`, `row ${behind[gap]}`);
}

/** Bytes of 32-bit floats from any byte on, piece by piece: a read of the file as long as the caller's would be a second copy. */
async function readWide(source: TensorSource, stored: StoredTensor, start: number, into: Uint8Array): Promise<void> {
  if (stored.dtype === 'F32') return source.read(stored.name, start, into);
  for (let done = 0; done < into.byteLength; ) {
    const first = Math.floor((start + done) / 4);
    const skipped = start + done - 4 * first;
    const count = Math.min(PIECE, Math.ceil((skipped + into.byteLength - done) / 4));
    const floats = await readFloatRange(source, stored.name, first, first + count);
    const part = new Uint8Array(floats.buffer).subarray(skipped, skipped + into.byteLength - done);
    into.set(part, done);
    done += part.length;
  }
}

function refusal(
  source: TensorSource,
  name: string,
  problem: string,
  expected: unknown,
  received: unknown,
): WeightsError {
  return new WeightsError({ op: OP, problem, expected, received, path: `${source.label}: ${name}` });
}
