/** Files of adapters (LoRA, textual inversion): safetensors or what torch.save wrote, told apart by their first bytes. */

import { InputError } from '../core/errors.ts';
import type { BlobLike } from '../core/platform.ts';
import type { ByteSource, TensorSource } from '../core/tensor-source.ts';
import { widened } from '../core/widened-source.ts';
import type { SafetensorsSource } from './safetensors.ts';
import { blobSource, memorySource } from './sources.ts';
import { openWeightFile } from './weight-file.ts';

/** Larger adapters, which are rare, are read by ranges from wherever they are. */
const MOST_IN_MEMORY = 2 ** 28;

/** An adapter's file: from `fileSource` or `urlSource`, a Blob or File, or its bytes. */
export type AdapterFile = ByteSource | BlobLike | ArrayBuffer | Uint8Array;

/** The tensors of an adapter's file, as `widened` shows them, and the strings beside them. */
export interface AdapterTensors extends TensorSource {
  /** The strings of a safetensors header; empty for other files. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Opens a file of tensors by its content, whatever its name.
 * @param file closed by the result's `close`, and here when the file is refused
 * @throws InputError for what is no file, WeightsError for one that is damaged or holds no tensors
 */
export async function openAdapterFile(op: string, file: AdapterFile): Promise<AdapterTensors> {
  const bytes = await nearby(adapterBytes(op, file));
  const tensors: TensorSource & Partial<SafetensorsSource> = await openWeightFile(bytes);
  return { ...widened(tensors), metadata: tensors.metadata ?? {} };
}

/** A file behind a server comes into memory: its many small tensors are read one by one, and an answer each would take too long. */
async function nearby(file: ByteSource): Promise<ByteSource> {
  if (!file.readMany || file.byteLength > MOST_IN_MEMORY) return file;
  const bytes = new Uint8Array(file.byteLength);
  try {
    await file.readMany([{ offset: 0, into: bytes }]);
  } finally {
    await file.close?.();
  }
  return memorySource(bytes, file.label);
}

/**
 * The bytes of an adapter's file.
 * @throws InputError for what is no file
 */
export function adapterBytes(op: string, file: unknown): ByteSource {
  if (file instanceof ArrayBuffer || file instanceof Uint8Array) return memorySource(file);
  if (file instanceof Blob) return blobSource(file);
  if (typeof file === 'object' && file !== null && 'read' in file && 'byteLength' in file) return file as ByteSource;
  throw new InputError({
    op,
    problem: 'not a file',
    expected: 'a ByteSource, a Blob, an ArrayBuffer or a Uint8Array',
    received: file === null ? 'null' : typeof file,
    fix: "Pass await fileSource(path) of 'pentimento/node', await urlSource(address), or the file's bytes.",
  });
}
