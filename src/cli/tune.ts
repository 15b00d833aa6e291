/** `pentimento tune`: which kernels an adapter runs the problems of models best by, measured once and kept for all commands. */
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../core/errors.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import type { Gpu } from '../gpu/device.ts';
import { OPS } from '../kernels/registry.ts';
import { keepTuning, keptTuning, tuningFolder } from '../node/kept-tuning.ts';
import { MODEL_TASKS, type ModelTask, problemsOf, taskOf } from '../pipeline/problems/model-problems.ts';
import type { Heard } from '../tuning/heard.ts';
import { mergeTables, untuned } from '../tuning/merge-tables.ts';
import { keyOfTable, type TuningTable, tuningKey } from '../tuning/table.ts';
import { tune as measure, type TuneProgress } from '../tuning/tune.ts';
import { type Outside, print } from './command.ts';
import { openDevice } from './device.ts';
import { adapterName, type Family, type FoundModel, findModel } from './model.ts';
import { parseSize, type Size } from './option-values.ts';
import { addHubOptions, type DeviceOptions, type HubOptions } from './options.ts';
import { checkOutput, writeAll } from './output.ts';
import { createProgress, type Progress } from './progress.ts';
import { figuresIn, problemsIn, summary } from './tune-report.ts';

interface Options extends HubOptions, Pick<DeviceOptions, 'dtype' | 'device' | 'json'> {
  readonly model: readonly string[];
  readonly task: readonly ModelTask[];
  readonly op: readonly string[];
  readonly size?: Size;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly out?: string;
}

/** The embedded models, by what they are for. */
const EMBEDDED: Readonly<Record<ModelTask, Family>> = { edit: 'stable-diffusion', prompts: 't5', caption: 'blip' };

const OP_NAMES = OPS.map(({ name }) => name);

/** The command with all its options. */
export function tuneCommand(outside: Outside): Command {
  const several = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  const command = new Command('tune')
    .description(
      'Measure which kernels this adapter runs a model best by, and keep them for all commands. No weights are read; results change by rounding alone.',
    )
    .option(
      '--model <dir, file or id>',
      'diffusers folder, .safetensors or .ckpt file, folder of Flan-T5 or BLIP, or Hub id; may be given several times (default: the embedded models of --task)',
      several,
      [],
    )
    .addOption(named('--task <name>', MODEL_TASKS, 'what models are for, of which the embedded one is tuned', 'edit'))
    .addOption(named('--op <name>', OP_NAMES, 'measure the problems of this op alone', 'all of them'))
    .addOption(
      new Option('--dtype <type>', 'storage of weights and activations')
        .choices(['float32', 'float16'])
        .default('float32'),
    )
    .option('--size <WxH>', "size of the pictures (default: the model's own)", parseSize);
  addHubOptions(command)
    .option('--variant <name>', 'set of weights of a folder, such as fp16')
    .option('--device <name>', 'adapter whose name contains this text; see `pentimento devices`')
    .option('--force', 'measure again what the kept table holds')
    .option('--dry-run', 'only say what would be measured')
    .option('--out <file>', 'write the table there (.json) in place of the cache')
    .option('--json', 'print the table and its figures as JSON on stdout');
  return command.action((o: Options) => tune(o, outside));
}

/** An option that may be given several times, each time with one of these names. */
function named(flags: string, names: readonly string[], help: string, byDefault: string): Option {
  return new Option(flags, `${help}; may be given several times`)
    .choices(names)
    .argParser((value, before: readonly string[]) => {
      if (names.includes(value)) return [...before, value];
      throw new InvalidArgumentError(`Allowed choices are ${names.join(', ')}.`);
    })
    .default([], byDefault);
}

async function tune(o: Options, outside: Outside): Promise<void> {
  // The cache too: a minute of measuring is lost where nothing can be kept.
  if (o.out !== undefined || !o.dryRun) checkOutput(o.out ?? join(tuningFolder(), 'table.json'), ['.json']);
  const progress = createProgress(outside.stderr);
  const { signal } = outside;
  let gpu: Gpu | undefined;
  const found: FoundModel[] = [];
  try {
    for (const asked of askedFor(o)) found.push(await open(asked, o, progress, signal));
    gpu = await openDevice({ ...o, tuning: 'none' }, progress.note);
    const problems = await allProblems(found, gpu, o, progress, signal);
    const kept = await keptTuning(gpu, { onWarning: progress.note });
    const left = kept && !o.force ? untuned(kept, problems) : problems;
    const about = {
      command: 'tune',
      models: found.map(({ model }) => model),
      device: adapterName(gpu),
      dtype: o.dtype,
    };
    if (o.dryRun) return tellProblems(left, about, o, outside, tuningKey(gpu.caps));
    const start = performance.now();
    const measured =
      left.length === 0 && kept ? kept : await measure(gpu, left, { signal, onProgress: teller(progress) });
    progress.stop();
    signal.throwIfAborted();
    // Another process may have kept its own meanwhile.
    const now = (await keptTuning(gpu, { onWarning: () => undefined })) ?? kept;
    const table = now && measured !== kept ? mergeTables(measured, now) : measured;
    const path = measured === kept && o.out === undefined ? keptPath(table) : await keep(table, o);
    const fresh = measured === kept ? [] : measured.choices;
    const timingsMs = { total: performance.now() - start };
    if (!o.json) return void outside.stdout.write(summary({ table, fresh, path, ms: timingsMs.total }));
    const name = keyOfTable(table);
    print(outside, true, { files: { table: path }, ...about, name, figures: figuresIn(fresh), table, timingsMs });
  } finally {
    progress.stop();
    gpu?.dispose();
    for (const { close } of found) await close?.();
  }
}

/** What is tuned: models that are named, else embedded ones by their task. */
function askedFor({ model, task }: Options): readonly { readonly name?: string; readonly family: Family }[] {
  if (model.length > 0) return model.map(name => ({ name, family: 'stable-diffusion' }));
  return [...new Set<ModelTask>(task.length > 0 ? task : ['edit'])].map(one => ({ family: EMBEDDED[one] }));
}

async function open(
  { name, family }: ReturnType<typeof askedFor>[number],
  o: Options,
  progress: Progress,
  signal: AbortSignal,
): Promise<FoundModel> {
  const found = await findModel(family, name, o, progress, signal, { download: false });
  const task = await taskOf(found.folder);
  if (o.task.length === 0 || o.task.includes(task)) return found;
  await found.close?.();
  throw new InputError({
    op: 'tune',
    problem: 'the model is for another task',
    expected: o.task.join(' or '),
    received: task,
    path: found.model,
    fix: 'Leave --task out: what a named model is for its folder says.',
  });
}

async function allProblems(
  found: readonly FoundModel[],
  { caps }: Gpu,
  { op: ops, dtype, size, variant }: Options,
  { note: onWarning }: Progress,
  signal: AbortSignal,
): Promise<readonly Heard[]> {
  const all: Heard[] = [];
  const folders: FolderSource[] = found.map(({ folder }) => folder);
  for (const folder of folders) {
    signal.throwIfAborted();
    all.push(...(await problemsOf(folder, { caps, dtype, size, variant, onWarning, signal })));
  }
  return ops.length === 0 ? all : all.filter(({ op }) => ops.includes(op));
}

/** Hands the tuner's news to a bar or to lines. */
function teller(progress: Progress): (event: TuneProgress) => void {
  const start = performance.now();
  return ({ done, of, op, about }) => {
    const ms = performance.now() - start;
    const secondsLeft = done === 0 ? undefined : (ms / 1000 / done) * (of - done);
    progress.report({ phase: 'tune', step: done, of, ms, bytes: 0, secondsLeft, what: `${op} ${about}`.slice(0, 48) });
  };
}

function tellProblems(
  problems: readonly Heard[],
  about: object,
  { json }: Options,
  outside: Outside,
  name: string,
): void {
  const asked = problemsIn(problems);
  if (json) print(outside, true, { files: {}, ...about, name, dryRun: true, problems: asked });
  else outside.stdout.write(asked.map(({ op, shape, problems: count }) => `${op}  ${shape}  ${count}\n`).join(''));
}

/** Where a table lies that was there before. */
function keptPath(table: TuningTable): string {
  return join(tuningFolder(), `${keyOfTable(table)}.json`);
}

/** @returns where the table is then */
async function keep(table: TuningTable, { out }: Options): Promise<string> {
  if (out === undefined) return keepTuning(table);
  await writeAll([{ path: out, bytes: new TextEncoder().encode(`${JSON.stringify(table, null, 1)}\n`) }]);
  return out;
}
