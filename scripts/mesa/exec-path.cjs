// Loaded first by scripts/mesa/node, where `process.execPath` is the C library's loader: what starts Node by it would start that.
const { join } = require('node:path');

process.execPath = join(__dirname, 'node');
