/** Brings the texts that only some devices run. */
import { loadPart } from '../core/load-part.ts';
import type { Caps } from '../gpu/caps.ts';
import { addTexts } from './family-texts.ts';
import { canBroadcast } from './kernel.ts';

/**
 * Loads the texts of all variants that fit a device. Whoever makes calls for it awaits this before.
 * @throws LoadError
 */
export async function loadTexts(caps: Pick<Caps, 'subgroupSize' | 'matrix'>): Promise<void> {
  await Promise.all([canBroadcast(caps) && loadBroadcast(), caps.matrix && loadMatrix()]);
}

async function loadBroadcast(): Promise<void> {
  const { BROADCAST_TEXTS } = await loadPart('kernels for small subgroups', () => import('./broadcast-texts.ts'));
  addTexts(BROADCAST_TEXTS);
}

async function loadMatrix(): Promise<void> {
  const { MATRIX_TEXTS } = await loadPart('kernels for matrix units', () => import('./matrix-texts.ts'));
  addTexts(MATRIX_TEXTS);
}
