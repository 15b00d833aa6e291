import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, vi } from 'vitest';
import { paceDawn } from '../../src/node/dawn-pace.ts';
import './all-kernels.ts';
import { sharedDevices } from './devices.ts';
import { compareByBytes } from './equal-bytes.ts';
import { patience } from './patience.ts';

paceDawn();
compareByBytes();
// Mesa complains on stderr without it.
process.env.XDG_RUNTIME_DIR ??= tmpdir();
// Not what whoever runs the tests has tuned on this machine: the goldens are of kernels by rank.
process.env.PENTIMENTO_CACHE = join(tmpdir(), `pentimento-tests-${process.pid}`, 'nothing-is-kept');

const limit = patience();
vi.setConfig({ testTimeout: limit, hookTimeout: limit });

afterEach(({ task }) => {
  if (task.result?.state === 'fail') sharedDevices.clear();
});

/** Files share a process: what one leaves behind must not be another's failure. */
afterAll(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  for (const [key, made] of [...sharedDevices]) {
    const gpu = await made.catch(() => undefined);
    try {
      gpu?.check('a device that tests share');
    } catch (error) {
      sharedDevices.delete(key);
      throw error;
    }
    if (!gpu) sharedDevices.delete(key);
  }
});
