/**
 * A checkpoint as the bytes of a safetensors file that is written nowhere: the header stands in memory, tensors are read when
 * asked for.
 */
import {
  type ByteSource,
  readTensors,
  type StoredTensor,
  type TensorRange,
  type TensorSource,
} from '../core/tensor-source.ts';
import { encodeHeader } from './safetensors.ts';
import { checkBytes } from './sources.ts';

interface Placed {
  readonly name: string;
  /** First byte in the file, and the byte behind the last. */
  readonly begin: number;
  readonly end: number;
}

/**
 * The safetensors file of a checkpoint: the same bytes that `writeSafetensors` would give, read from the checkpoint piece by piece.
 * @param source stays open as long as the bytes are read
 * @param metadata strings for the header
 * @param label for messages
 */
export function safetensorsBytes(
  source: TensorSource,
  metadata: Readonly<Record<string, string>>,
  label: string = source.label,
): ByteSource {
  const { header, order } = encodeHeader<StoredTensor>([...source.tensors], t => t.byteLength, metadata);
  const placed: Placed[] = [];
  let end = header.length;
  for (const [name, { byteLength }] of order) {
    placed.push({ name, begin: end, end: end + byteLength });
    end += byteLength;
  }
  const self = { label, byteLength: end };
  /** Fills what is of the header; the rest as ranges of tensors. */
  const rangesOf = (offset: number, into: Uint8Array): TensorRange[] => {
    checkBytes(self, offset, into.byteLength);
    if (offset < header.length) into.set(header.subarray(offset, offset + into.byteLength));
    const stop = offset + into.byteLength;
    const ranges: TensorRange[] = [];
    for (let i = firstBehind(placed, offset); i < placed.length; i++) {
      const { name, begin, end: last } = placed[i] as Placed;
      if (begin >= stop) break;
      const [from, to] = [Math.max(begin, offset), Math.min(last, stop)];
      if (to > from) ranges.push({ name, start: from - begin, into: into.subarray(from - offset, to - offset) });
    }
    return ranges;
  };
  return {
    ...self,
    read: async (offset, into) => readTensors(source, rangesOf(offset, into)),
    ...(source.readMany && {
      readMany: async (ranges, signal) =>
        readTensors(
          source,
          ranges.flatMap(({ offset, into }) => rangesOf(offset, into)),
          signal,
        ),
    }),
  };
}

/** The first tensor that ends behind a byte. */
function firstBehind(placed: readonly Placed[], offset: number): number {
  let [low, high] = [0, placed.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((placed[middle] as Placed).end > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}
