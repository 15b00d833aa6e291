import type { Gpu } from '../../src/gpu/device.ts';

/**
 * The devices that the test files of one process share, by their options: pipelines are built once. test/support/setup.ts gives
 * them up after a test that failed, since it may have left them lost or busy.
 */
export const sharedDevices = new Map<string, Promise<Gpu>>();

const KEPT = Symbol.for('pentimento.test.kept');
const known = (globalThis as Record<symbol, unknown[] | undefined>)[KEPT];

/** What must never be collected while the process lives. */
export const kept: unknown[] = known ?? [];
Object.assign(globalThis, { [KEPT]: kept });
