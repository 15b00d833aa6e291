/** One file of weights, whatever its name: what it is stands in its first bytes. */

import { checkByteSource } from '../core/kinds.ts';
import { loadPart } from '../core/load-part.ts';
import type { ByteSource, TensorSource } from '../core/tensor-source.ts';
import { openSafetensors } from './safetensors.ts';
import { headOf, isTorchLegacy, isZip } from './torch-magic.ts';

/**
 * Opens a safetensors file or a checkpoint of torch.save (.ckpt, .pt, .bin), old or new. Nothing in it is executed. The
 * readers of torch's files are loaded when one is met.
 * @param bytes the file; closed by the result's `close`, and here when the file is refused
 * @throws WeightsError for files that are none of these, naming what lies there; InputError for what is no ByteSource
 */
export async function openWeightFile(bytes: ByteSource): Promise<TensorSource> {
  checkByteSource('openWeightFile', bytes);
  const head = await headOf(bytes);
  if (!isZip(head) && !isTorchLegacy(head)) return openSafetensors(bytes);
  const { openTorchFile } = await loadPart("the reader of torch.save's files", () => import('./torch-file.ts'));
  return openTorchFile(bytes);
}
