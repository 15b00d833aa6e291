#!/usr/bin/env node
/** The bin: Ctrl-C ends the work at the next step, a second one at once. */
import { EXIT } from './command.ts';
import { runCommand } from './program.ts';

const SHOW_CURSOR = '\x1b[?25h';
const controller = new AbortController();
process.on('SIGINT', () => {
  if (controller.signal.aborted) {
    if (process.stderr.isTTY) process.stderr.write(SHOW_CURSOR); // a bar may have hidden it
    process.exit(EXIT.interrupted);
  }
  controller.abort();
});
process.on('SIGTERM', () => controller.abort());
const { stdout, stderr } = process;
const code = await runCommand(process.argv.slice(2), { stdout, stderr, signal: controller.signal });
// Dawn's threads would keep the process alive; what was printed must be out first.
stdout.write('', () => stderr.write('', () => process.exit(code)));
