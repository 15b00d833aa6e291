/** Reading safetensors files. The checks of the header are in safetensors-header.ts. */
import { WeightsError } from '../core/errors.ts';
import { checkByteSource } from '../core/kinds.ts';
import { type ByteSource, checkRange, readRanges } from '../core/tensor-source.ts';
import { refuseStandIn } from './refuse-stand-in.ts';
import { MAX_HEADER_BYTES, type SafetensorsSource } from './safetensors-format.ts';
import { damaged, parseHeader } from './safetensors-header.ts';

/** The first four bytes of torch.save's zip files and of its files before torch 1.6. */
const TORCH_FILE = [0x04034b50n, 0x0a8a0280n];

/** `openSafetensors` @throws as it does */
export async function readSafetensors(bytes: ByteSource): Promise<SafetensorsSource> {
  checkByteSource('openSafetensors', bytes);
  try {
    return await read(bytes);
  } catch (error) {
    await bytes.close?.();
    throw error;
  }
}

async function read(bytes: ByteSource): Promise<SafetensorsSource> {
  const { label } = bytes;
  if (bytes.byteLength < 8) {
    await refuseStandIn(bytes, 'safetensors');
    throw damaged('too short for a header', label, { expected: 'at least 8 bytes', received: `${bytes.byteLength}` });
  }
  const prefix = new Uint8Array(8);
  await bytes.read(0, prefix);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    await refuseStandIn(bytes, 'safetensors'); // eight letters are a length far beyond the limit
    if (TORCH_FILE.includes(length % 2n ** 32n)) {
      const fix = 'Give it a name that ends in .bin, .ckpt or .pt, or open it with openWeightFile.';
      throw new WeightsError({
        op: 'safetensors',
        problem: 'a file of torch.save under another name',
        path: label,
        fix,
      });
    }
    throw damaged('the header is too long', label, { expected: `at most ${MAX_HEADER_BYTES} bytes`, received: length });
  }
  const start = 8 + Number(length);
  if (start > bytes.byteLength) {
    throw damaged('the header is longer than the file', label, {
      expected: `${start} bytes`,
      received: bytes.byteLength,
    });
  }
  const json = new Uint8Array(Number(length));
  await bytes.read(8, json);
  const { tensors, metadata } = parseHeader(json, bytes.byteLength - start, label);
  const shown = [...tensors].map(([name, { begin: _, ...stored }]) => [name, stored] as const);
  return {
    label,
    tensors: new Map(shown),
    metadata,
    async read(name, offset, into): Promise<void> {
      const tensor = tensors.get(name);
      checkRange(label, name, tensor?.byteLength, offset, into.byteLength);
      if (tensor && into.byteLength > 0) await bytes.read(start + tensor.begin + offset, into);
    },
    ...(bytes.readMany && {
      async readMany(ranges, signal): Promise<void> {
        const placed = ranges.flatMap(({ name, start: first, into }) => {
          const tensor = tensors.get(name);
          checkRange(label, name, tensor?.byteLength, first, into.byteLength);
          return tensor && into.byteLength > 0 ? [{ offset: start + tensor.begin + first, into }] : [];
        });
        await readRanges(bytes, placed, signal);
      },
    }),
    close: async () => bytes.close?.(),
  };
}
