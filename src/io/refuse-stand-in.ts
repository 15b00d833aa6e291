/** The error of a file that should be binary and is a text. What such texts are is in stand-in.ts, which is loaded when one is suspected. */

import { WeightsError } from '../core/errors.ts';
import { loadPart } from '../core/load-part.ts';
import type { ByteSource } from '../core/tensor-source.ts';

/**
 * Refuses a source that holds a text in place of weights; of any other only the first bytes are read.
 * @param source a file that should be binary
 * @param op names the reader in the message
 * @throws WeightsError that says what lies there and how to get the file
 */
export async function refuseStandIn(source: ByteSource, op: string): Promise<void> {
  const { STAND_IN_BYTES, standInOf } = await loadPart(
    'what recognises files that stand for others',
    () => import('./stand-in.ts'),
  );
  const head = new Uint8Array(Math.min(STAND_IN_BYTES, source.byteLength));
  await source.read(0, head);
  const found = standInOf(head);
  if (found) throw new WeightsError({ op, ...found, path: source.label });
}
