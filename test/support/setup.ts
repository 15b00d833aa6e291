import { tmpdir } from 'node:os';
import { vi } from 'vitest';
import { patience } from './patience.ts';
import './dawn-pace.ts';

// Mesa complains on stderr without it.
process.env.XDG_RUNTIME_DIR ??= tmpdir();

const limit = patience();
vi.setConfig({ testTimeout: limit, hookTimeout: limit });
