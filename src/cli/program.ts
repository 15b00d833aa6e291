/** The command line as a function: arguments in, exit code out. */
import { Command, CommanderError } from 'commander';
import { benchCommand } from './bench.ts';
import { cacheCommand } from './cache.ts';
import { captionCommand } from './caption.ts';
import { EXIT, explain, explainStream, type Outside } from './command.ts';
import { convertCommand } from './convert.ts';
import { devicesCommand } from './devices.ts';
import { editCommand } from './edit.ts';
import { workerCommand } from './fleet-worker.ts';
import { generateCommand } from './generate.ts';
import { guideCommand } from './guide.ts';
import { img2imgCommand } from './img2img.ts';
import { inpaintCommand } from './inpaint.ts';
import { invertCommand } from './invert.ts';
import { maskCommand } from './mask.ts';
import { EMBEDDED_KNOWS } from './model.ts';
import { packageVersion } from './package-root.ts';
import { planCommand } from './plan.ts';
import { promptsCommand } from './prompts.ts';
import { queueCommand } from './queue.ts';
import { reconstructCommand } from './reconstruct.ts';
import { codeAfter, watchStreams } from './streams.ts';
import { submitCommand } from './submit.ts';
import { tuneCommand } from './tune.ts';

/**
 * Runs one command.
 * @param args without node and script
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage or input, 3 some of many pictures failed, 130 interrupted, 141 when nobody reads the output any more
 */
export async function runCommand(args: readonly string[], outside: Outside): Promise<number> {
  const written = watchStreams(outside);
  const code = await perform(args, outside);
  const failure = await written();
  if (failure?.stream === 'stdout' && failure.code !== 'EPIPE')
    outside.stderr.write(`error: ${explainStream(failure)}\n`);
  return codeAfter(failure, code);
}

async function perform(args: readonly string[], outside: Outside): Promise<number> {
  const program = createProgram(outside);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return EXIT.done;
  } catch (error) {
    // commander has printed its own errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const { code, line } = explain(error, outside, program.args[0]);
    outside.stderr.write(`${code === EXIT.interrupted ? '' : 'error: '}${line}\n`);
    if (program.opts<{ debug?: boolean }>().debug && error instanceof Error) outside.stderr.write(`${error.stack}\n`);
    return code;
  }
}

/** The program with its commands; also what documents the options. */
export function createProgram(outside: Outside): Command {
  const program = new Command('pentimento')
    .description('Edit pictures by text with Stable Diffusion on WebGPU: DiffEdit finds the mask by itself.')
    .version(packageVersion())
    .option('--debug', 'print where an error comes from')
    .addHelpText('after', `\n${EMBEDDED_KNOWS}\nOptions of a command: pentimento edit --help`);
  const edits = [editCommand, maskCommand, invertCommand, reconstructCommand, planCommand, guideCommand];
  for (const command of [
    ...edits,
    ...[generateCommand, img2imgCommand, inpaintCommand],
    captionCommand,
    promptsCommand,
    ...[submitCommand, workerCommand, queueCommand],
    convertCommand,
    devicesCommand,
    tuneCommand,
    benchCommand,
    cacheCommand,
  ])
    program.addCommand(command(outside));
  for (const command of everyCommand(program)) {
    command.exitOverride().configureOutput({
      writeOut: text => outside.stdout.write(text),
      writeErr: text => outside.stderr.write(text),
      outputError: (text, write) => write(usageError(text, pathOf(command))),
      getOutHelpWidth: () => outside.stdout.columns ?? 100,
    });
  }
  return program;
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** Behind the program's name: 'edit ', 'cache list ', or nothing. */
function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)}${command.name()} ` : '';
}

/** commander's message in one line, suggestions included; where it has no remedy, the way to the help text. */
function usageError(text: string, command: string): string {
  const line = text.trimEnd().replaceAll(/\s*\n\s*/g, ' ');
  return /[.)]$/.test(line) ? `${line}\n` : `${line}. See pentimento ${command}--help.\n`;
}
