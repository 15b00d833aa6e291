#!/usr/bin/env node
/** The bin: Ctrl-C ends the work at the next step, a second one at once. */
import { interrupter } from './command.ts';
import { runCommand } from './program.ts';

const controller = new AbortController();
const { stdout, stderr } = process;
process.on('SIGINT', interrupter(controller, stderr, process.exit));
process.on('SIGTERM', () => controller.abort());
const code = await runCommand(process.argv.slice(2), { stdout, stderr, signal: controller.signal });
// Dawn's threads would keep the process alive; what was printed must be out first.
stdout.write('', () => stderr.write('', () => process.exit(code)));
