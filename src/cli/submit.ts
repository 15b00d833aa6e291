/** `pentimento submit`: puts edits into a queue, each once however often it is submitted. */
import { createHash } from 'node:crypto';
import { relative, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { InputError } from '../core/errors.ts';
import type { FolderSource } from '../core/tensor-source.ts';
import { isAddress } from '../io/sources.ts';
import { reason } from '../node/files.ts';
import type { Recommended } from '../pipeline/diffedit/recommended.ts';
import { recommendedFrom } from '../pipeline/diffedit/recommended-file.ts';
import type { FailedJob, FleetJob, FleetQueue, Submitted } from '../queue/index.ts';
import { type JobFile, jobOf } from '../queue/job.ts';
import { EXIT, type Outside, PartlyDone } from './command.ts';
import { addPictureOptions, type EditOptions, plainEditOf } from './edit-options.ts';
import { checkIsFile, fileHash } from './file-hash.ts';
import { keyedModel } from './fleet-model.ts';
import { addQueueOptions, type QueueOptionsTyped } from './fleet-options.ts';
import {
  addModelManner,
  addModelSource,
  addPresetOption,
  addTileOptions,
  argumentOption,
  dtypeOption,
} from './options.ts';
import { ALL_PHASES, givenOn, withPreset } from './preset.ts';
import { createProgress, type Progress } from './progress.ts';
import { type Wanted, wantedPictures } from './wanted-pictures.ts';

interface SubmitOptions extends EditOptions, QueueOptionsTyped {
  readonly modelKey?: string;
  readonly base?: string;
  readonly folder?: string;
  readonly wait?: boolean;
}

/** What every job of a call has. */
interface Common {
  readonly model: { readonly id: string; readonly key: string };
  readonly recommended: Recommended | undefined;
}

/** A picture, and its job. */
interface Asked {
  readonly input: string;
  readonly job: FleetJob;
}

/** The command with all its options. */
export function submitCommand(outside: Outside): Command {
  const command = addQueueOptions(
    new Command('submit')
      .description('Put edits into a queue; one that is there, or was done before, is left as it is.')
      .argument('[pictures...]', 'files, folders, globs and addresses'),
  )
    .option('--jobs <file>', 'JSONL or CSV: a picture a line, with prompts and options of its own')
    .option('--mask <file>', 'use this mask instead of finding one; white is what changes')
    .option(
      '--base <uri>',
      'where workers find what lies in this folder, such as https://bucket.example.com/in/ (default: the files by their paths)',
      parseBase,
    )
    .option('--folder <name>', "folder of the results below the worker's")
    .option('--wait', 'wait until all are done, and tell which failed')
    .option('--json', 'print the result as JSON on stdout');
  addPictureOptions(command);
  command.on('option:jobs', () => {
    for (const option of command.options) if (option.attributeName() !== 'queue') option.makeOptionMandatory(false);
  });
  command
    .optionsGroup('Model:')
    .option('--model <dir, file or id>', 'as of edit (default: the embedded orchard model)')
    .option('--model-key <hash>', "the model's key, as a worker prints it, instead of reading its weights", parseKey)
    .addOption(dtypeOption());
  addPresetOption(addTileOptions(addModelManner(addModelSource(command)))).addOption(
    argumentOption('seed').default(0, '0: the same edit is the same job'),
  );
  return command.action((names: string[], o: SubmitOptions) => submit(names, o, command, outside));
}

async function submit(names: readonly string[], o: SubmitOptions, command: Command, outside: Outside): Promise<void> {
  if (names.length === 0 && o.jobs === undefined) {
    throw new InputError({
      op: 'submit',
      problem: 'no pictures',
      fix: 'Name files, folders or addresses, or give --jobs.',
    });
  }
  const { signal } = outside;
  const progress = createProgress(outside.stderr);
  const wanted = await wantedPictures(names, o, givenOn(command), '');
  checkForWorkers(wanted);
  if (wanted.some(({ output }) => output !== undefined))
    progress.note(
      'The jobs file names outputs, which are left out: results of a fleet are named by the ids of their jobs.',
    );
  const { openQueue } = await import('../queue/index.ts');
  const queue = await openQueue({ queue: o.queue, redis: o.redis });
  try {
    const common = await commonOf(o, progress, signal);
    const asked = await askedFor(wanted, o, common, progress, signal);
    const submitted = await queue.submit(
      asked.map(({ job }) => job),
      { signal },
    );
    progress.note(summary(submitted, common.model.id));
    const failed = o.wait ? await wait(queue, asked, progress, signal) : [];
    report(o, common, asked, submitted, failed, outside);
    if (failed.length === 0) return;
    const line = `submit: ${failed.length} of ${asked.length} pictures failed. \`pentimento queue --retry\` tries them again.`;
    throw new PartlyDone(EXIT.some, line);
  } finally {
    progress.stop();
    await queue.close();
  }
}

/** @throws InputError for a picture that is no file and has no address at which workers could find it */
function checkForWorkers(wanted: readonly Wanted[]): void {
  for (const path of wanted.flatMap(({ source, mask }) => [source, ...(mask === undefined ? [] : [mask])])) {
    if (!isAddress(path) || /^https?:/i.test(path)) continue;
    const received = path.slice(0, path.indexOf(':'));
    const details = { op: 'submit', problem: 'workers cannot find this picture', expected: 'file, http or https' };
    throw new InputError({ ...details, received, fix: 'Save it as a file first.' });
  }
}

/** The model, by its files or by its key alone. */
async function commonOf(o: SubmitOptions, progress: Progress, signal: AbortSignal): Promise<Common> {
  if (o.modelKey !== undefined) {
    const id = o.model ?? 'orchard (embedded)';
    const given = 'recommended settings are in the model, which is not read';
    if (o.preset === 'recommended') progress.note(`--model-key: ${given}; diffusers' defaults are taken.`);
    return { model: { id, key: o.modelKey }, recommended: undefined };
  }
  const { folder, model, key, close } = await keyedModel(o, progress, signal);
  try {
    return { model: { id: model, key }, recommended: await recommended(folder, progress) };
  } finally {
    await close?.();
  }
}

async function recommended(folder: FolderSource, progress: Progress): Promise<Recommended | undefined> {
  return recommendedFrom(folder, progress.note);
}

/** A job for each picture: with its hash, its settings, and where workers find it. */
async function askedFor(
  wanted: readonly Wanted[],
  o: SubmitOptions,
  { model, recommended }: Common,
  progress: Progress,
  signal: AbortSignal,
): Promise<Asked[]> {
  const said = new Set<string>();
  const note = (line: string): void => {
    if (!said.has(line)) progress.note(line);
    said.add(line);
  };
  const asked: Asked[] = [];
  for (const [i, { source, options, given, mask }] of wanted.entries()) {
    signal.throwIfAborted();
    const phases = ALL_PHASES.filter(phase => phase !== 'generateMask' || mask === undefined);
    const settled = withPreset(options, given, phases, recommended, note).options;
    const edit = plainEditOf({ ...settled, seed: settled.seed ?? 0 });
    const files = {
      picture: await fileOf(source, o, signal),
      ...(mask === undefined ? {} : { mask: await fileOf(mask, o, signal) }),
    };
    const results = o.folder === undefined ? {} : { results: { folder: o.folder } };
    asked.push({ input: source, job: jobOf({ ...files, ...results, model, edit }) });
    progress.count('reading pictures', i + 1, wanted.length);
  }
  return asked;
}

/** A picture's address for workers, and its hash. */
async function fileOf(source: string, { base }: SubmitOptions, signal: AbortSignal): Promise<JobFile> {
  if (isAddress(source)) return { uri: source, sha256: await hashOfAddress(source, signal) };
  const path = resolve(/^file:/i.test(source) ? fileURLToPath(source) : source);
  await checkIsFile('submit', path, source);
  const sha256 = await fileHash(path, signal).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new InputError({ op: 'submit', problem: 'no readable file', received: reason(cause), path: source, cause });
  });
  if (base === undefined) return { uri: pathToFileURL(path).href, sha256 };
  const below = relative('.', path);
  if (below.startsWith('..') || resolve(below) !== path) {
    const fix = 'Run the command in the folder that --base stands for.';
    throw new InputError({ op: 'submit', problem: 'a picture outside of this folder', path: source, fix });
  }
  return { uri: new URL(below.split(sep).map(encodeURIComponent).join('/'), base).href, sha256 };
}

/** Of what an address holds; the submitter's own network is open to it. */
async function hashOfAddress(uri: string, signal: AbortSignal): Promise<string> {
  const { fetchUri, UriRules } = await import('../queue/index.ts');
  const { protocol, host } = new URL(uri);
  const rules = new UriRules({ allow: [`${protocol}//${host}/`], privateAddresses: true });
  return createHash('sha256')
    .update(await fetchUri(uri, rules, { signal }))
    .digest('hex');
}

async function wait(
  queue: FleetQueue,
  asked: readonly Asked[],
  progress: Progress,
  signal: AbortSignal,
): Promise<FailedJob[]> {
  const onProgress = ({ done, failed, of }: { done: number; failed: number; of: number }): void =>
    progress.count('edits', done + failed, of);
  return queue.wait(
    asked.map(({ job }) => job),
    { signal, onProgress },
  );
}

function summary(submitted: readonly Submitted[], model: string): string {
  const states = new Map<string, number>();
  for (const { state } of submitted) states.set(state, (states.get(state) ?? 0) + 1);
  const counts = [...states].map(([state, count]) => `${count} ${state === 'completed' ? 'done before' : state}`);
  return `${submitted.length} edits by ${model}: ${counts.join(', ')}.`;
}

function report(
  o: SubmitOptions,
  { model }: Common,
  asked: readonly Asked[],
  submitted: readonly Submitted[],
  failed: readonly FailedJob[],
  { stdout, stderr }: Outside,
): void {
  const jobs = asked.map(({ input, job }, i) => ({
    id: job.id,
    picture: input,
    state: submitted[i]?.state ?? 'unknown',
  }));
  if (o.json)
    stdout.write(
      `${JSON.stringify({ version: 1, command: 'submit', queue: o.queue, model, jobs, failed }, null, 2)}\n`,
    );
  else for (const { id, picture } of jobs) stdout.write(`${id} ${picture}\n`);
  for (const { id, picture, reason: why } of failed) stderr.write(`failed: ${id.slice(0, 12)} ${picture}: ${why}\n`);
}

function parseBase(text: string): string {
  if (URL.canParse(text) && /^(https?|file):/.test(text)) return text.replace(/\/?$/, '/');
  throw new InvalidArgumentError('Give a URI, such as https://bucket.example.com/in/.');
}

function parseKey(text: string): string {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw new InvalidArgumentError('Give the 64 digits that a worker prints.');
}
