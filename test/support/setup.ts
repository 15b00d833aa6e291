process.env.XDG_RUNTIME_DIR ??= (await import('node:os')).tmpdir();
