#!/usr/bin/env node
/** The bin: Ctrl-C ends the work at the next step, a second one at once. */
import { asChild, isChild, messageStream, needsChild, runInChild } from './driver-noise.ts';

const code = needsChild() ? await runInChild() : undefined;
if (code === undefined) await run();
else process.exitCode = code;

async function run(): Promise<void> {
  // Imported here, because the parent of a child does without them.
  const { interrupter } = await import('./command.ts');
  const { runCommand } = await import('./program.ts');
  const { wholeStdout } = await import('./streams.ts');
  const controller = new AbortController();
  const stderr = messageStream();
  const interrupt = interrupter(controller, stderr, process.exit);
  const end = () => controller.abort();
  process.on('SIGTERM', end);
  if (isChild()) asChild(interrupt, end);
  else process.on('SIGINT', interrupt);
  const stdout = wholeStdout();
  const ended = await runCommand(process.argv.slice(2), { stdout, stderr, signal: controller.signal });
  process.exit(ended); // Dawn's threads would keep the process alive; what was printed is out
}
