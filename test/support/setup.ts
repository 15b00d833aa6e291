import { tmpdir } from 'node:os';

// Mesa complains on stderr without it.
process.env.XDG_RUNTIME_DIR ??= tmpdir();
