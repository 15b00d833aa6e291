/** What the commands share: where they write, how they end, how a result is printed. */
import { InputError, PentimentoError, ShapeError, WeightsError } from '../core/errors.ts';
import { reason } from '../node/files.ts';
import type { StableDiffusionModel } from '../pipeline/diffusion/stable-diffusion-model.ts';
import { measured } from './measured.ts';
import { type Loaded, loadPipeline } from './model.ts';
import type { ModelOptions } from './options.ts';
import { createProgress, type Progress } from './progress.ts';
import type { StreamFailure } from './streams.ts';
import { inCommandWords } from './words.ts';

/** The world outside: streams, and the signal that Ctrl-C fires. */
export interface Outside {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Where a person answers; the process's own where absent. */
  readonly stdin?: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly signal: AbortSignal;
}

/** Exit codes: done, failed, wrong usage or input, some of many pictures failed, interrupted. */
export const EXIT = { done: 0, failed: 1, usage: 2, some: 3, interrupted: 130 } as const;

/** The end of a command that did a part of its work: what is left is done by the same command. */
export class PartlyDone extends Error {
  /** As in stack traces. */
  override readonly name = 'PartlyDone';
  /** With which the process ends. */
  readonly code: number;

  constructor(code: number, line: string, cause?: unknown) {
    super(line, { cause });
    this.code = code;
  }
}

/** What Ctrl-C does: the first ends the work at its next step, the second ends the process at once. */
export function interrupter(
  controller: AbortController,
  stderr: NodeJS.WriteStream,
  exit: (code: number) => void,
): () => void {
  return () => {
    if (controller.signal.aborted) {
      if (stderr.isTTY) stderr.write(SHOW_CURSOR); // a bar may have hidden it
      exit(EXIT.interrupted);
    }
    controller.abort();
  };
}

const SHOW_CURSOR = '\x1b[?25h';

/** What a command prints: files one a line, or everything as JSON. */
export interface Result {
  readonly files: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

/** How long a command took. */
export interface Timed {
  /** Milliseconds by phase, of loading too where it is known. */
  readonly timingsMs: Readonly<Record<string, number>>;
}

/**
 * Runs `work` with a loaded pipeline and disposes it, whatever happens.
 * @param progress where it is told how far it is; stderr unless given
 */
export async function withPipeline(
  o: ModelOptions,
  outside: Outside,
  work: (loaded: Loaded, progress: Progress, seed: number) => Promise<Result & Timed>,
  progress: Progress = createProgress(outside.stderr),
): Promise<void> {
  return withLoaded(heard => loadPipeline(o, heard, outside.signal), o, outside, work, progress);
}

/** `withPipeline` of a pipeline that `load` opens. */
export async function withLoaded<P extends StableDiffusionModel>(
  load: (progress: Progress) => Promise<Loaded<P>>,
  o: ModelOptions,
  outside: Outside,
  work: (loaded: Loaded<P>, progress: Progress, seed: number) => Promise<Result & Timed>,
  progress: Progress = createProgress(outside.stderr),
): Promise<void> {
  const seed = o.seed ?? newSeed();
  let loaded: Loaded<P> | undefined;
  try {
    loaded = await load(progress);
    const result = await work(loaded, progress, seed);
    progress.stop();
    const { model, lora, device, tuning, pipe } = loaded;
    const memory = measured(pipe.peakBytes, progress, result.timingsMs);
    const adapters = lora.length > 0 ? { lora } : {};
    print(outside, o.json === true, { ...result, ...memory, model, ...adapters, device, tuning, dtype: o.dtype, seed });
  } finally {
    progress.stop();
    loaded?.dispose();
  }
}

/** A seed by chance. */
export function newSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

/** Data to stdout: JSON, or the paths of the files. */
export function print(outside: Outside, json: boolean, result: Result): void {
  outside.stdout.write(
    json
      ? `${JSON.stringify(result, null, 2)}\n`
      : Object.values(result.files)
          .map(file => `${file}\n`)
          .join(''),
  );
}

/**
 * One line for an error, with its remedy; the exit code that goes with it.
 * @param command which ran; '' where none did
 */
export function explain(error: unknown, outside: Outside, command = ''): { code: number; line: string } {
  if (error instanceof PartlyDone) return { code: error.code, line: error.message };
  if (outside.signal.aborted) return { code: EXIT.interrupted, line: 'interrupted, nothing was written' };
  if (error instanceof PentimentoError) {
    const input = error instanceof InputError || error instanceof ShapeError || error instanceof WeightsError;
    return { code: input ? EXIT.usage : EXIT.failed, line: oneLine(inCommandWords(error, command)) };
  }
  if (isOfSystem(error))
    return { code: EXIT.failed, line: `system: ${reason(error)} (${error.path ?? error.syscall})` };
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    code: EXIT.failed,
    line: `${oneLine(message)} (this is a defect: run again with --debug and report what it prints)`,
  };
}

/** A refusal of the operating system that no part of the library put in words of its own. */
function isOfSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error;
}

/** The line for output that did not arrive. */
export function explainStream({ stream, cause }: StreamFailure): string {
  return `${stream}: what was printed cannot be written: got ${reason(cause)}. Send it elsewhere, or make room.`;
}

/** Without line breaks. */
export function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' | ');
}
