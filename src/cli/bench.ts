/** `pentimento bench`: the adapter's ceilings, kernels and networks, and other engines beside them. What measures is loaded when it runs. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { BenchPart } from '../../bench/benchmark.ts';
import { type BenchFile, FEATURES, type Feature, PEERS, type PeerName, parseBench } from '../../bench/schema.ts';
import { InputError, NumericsError } from '../core/errors.ts';
import type { Outside } from './command.ts';
import { openDevice, tuningReport } from './device.ts';
import { integer } from './option-values.ts';
import { checkOutput, type OutputFile, writeAll } from './output.ts';
import { packageRoot } from './package-root.ts';
import { createProgress } from './progress.ts';

interface Options {
  readonly against?: readonly PeerName[];
  readonly json?: string;
  readonly label?: string;
  readonly svg?: string;
  readonly filter: string;
  readonly samples: number;
  readonly large?: boolean;
  readonly device?: string;
  readonly without?: readonly Feature[];
  readonly tuning?: string;
  readonly trusted?: boolean;
}

/** What the library asks of Dawn in Node, and what --trusted adds. */
const TOGGLES = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];
const UNCHECKED = 'disable_robustness';

/** What --svg writes. */
const CHARTS = ['roofline.svg', 'bars.svg'];

/** The command with all its options. */
export function benchCommand(outside: Outside): Command {
  return new Command('bench')
    .description(
      "Measure this machine's adapter: its ceilings, then kernels and networks with their share of them and their error against float64.",
    )
    .argument('[part]', 'kernels or networks (default: both)', parsePart)
    .addOption(
      new Option(
        '--against <engines>',
        `race ${PEERS.join(', ')}, comma between them, each in a process of its own`,
      ).argParser(listOf(PEERS)),
    )
    .option('--json <file>', 'write the results; those of another run of the same adapter and kernels stay beside them')
    .option('--label <name>', "the same into bench/results/<name>.json of the repository's clone")
    .option(
      '--svg <folder>',
      'draw the results into it: roofline.svg, and bars.svg beside other engines or the ceilings',
    )
    .option('--filter <text>', 'rows whose names contain this text', '')
    .option('--samples <n>', 'samples of each row', integer(1), 15)
    .option('--large', 'measure rows too that take software seconds each')
    .option('--device <name>', 'adapter whose name contains this text; see `pentimento devices`')
    .addOption(
      new Option(
        '--without <features>',
        `do without ${FEATURES.join(', ')}, comma between them, where the adapter has them`,
      ).argParser(listOf(FEATURES)),
    )
    .option('--tuning <file>', "table by which kernels are chosen, or none (default: the adapter's own, if kept)")
    .option('--trusted', "run kernels without Dawn's checks of their indices")
    .addHelpText('after', '\nWhat the figures mean, and how to send a result in: docs/benchmark.md of the repository.')
    .action((part: BenchPart | undefined, o: Options) => bench(part, o, outside));
}

function parsePart(text: string): BenchPart {
  if (text === 'kernels' || text === 'networks') return text;
  throw new InvalidArgumentError('Give kernels or networks, or neither for both.');
}

/** A parser of names with commas between them. */
function listOf<T extends string>(known: readonly T[]): (text: string) => T[] {
  return text => {
    const asked = text.split(',').map(name => name.trim());
    const found = known.filter(name => asked.includes(name));
    if (asked.every(name => (known as readonly string[]).includes(name))) return found;
    throw new InvalidArgumentError(`Give some of ${known.join(', ')}, comma between them.`);
  };
}

async function bench(part: BenchPart | undefined, o: Options, outside: Outside): Promise<void> {
  const path = fileOf(o);
  for (const drawn of o.svg === undefined ? [] : CHARTS) checkOutput(join(o.svg ?? '', drawn), ['.svg']);
  const kept = path === undefined ? undefined : await readResults(path);
  const progress = createProgress(outside.stderr);
  const { note } = progress;
  // What drivers keep of earlier runs would make compile times those of a file.
  process.env['MESA_SHADER_CACHE_DISABLE'] ??= 'true';
  const gpu = await openDevice(o, note);
  try {
    const { benchmark, chartsOf, mergedWith, refuseStrangers } = await import('../../bench/index.ts');
    // A run of everything replaces the file; of another, rows stand beside those that are there.
    const beside = part === undefined && o.filter === '' ? undefined : kept;
    const root = packageRoot();
    const made = await benchmark(gpu, {
      ...{ part, filter: o.filter, samples: o.samples, large: o.large === true },
      ...{ against: o.against ?? [], without: o.without ?? [] },
      models: join(root, 'models', 'orchard'),
      toggles: o.trusted ? [...TOGGLES, UNCHECKED] : TOGGLES,
      tuning: tuningReport(gpu)?.table ?? null,
      onHead: head => beside && refuseStrangers(beside, head, path ?? ''),
      say: line => outside.stdout.write(`${line}\n`),
      note,
      signal: outside.signal,
    });
    outside.signal.throwIfAborted();
    const whole = beside ? mergedWith(beside, made, path ?? '') : made;
    const charts: Readonly<Record<string, string>> = o.svg === undefined ? {} : chartsOf(whole);
    const drawn = Object.entries(charts).map(([name, svg]) => textFile(join(o.svg ?? '', name), svg));
    const files = [...(path === undefined ? [] : [jsonFile(path, whole)]), ...drawn];
    if (files.length > 0) await writeAll(files);
    if (files.length > 0) outside.stdout.write(`\n${files.map(file => file.path).join('\n')}\n`);
    refuseWrong(made);
  } finally {
    progress.stop();
    gpu.dispose();
  }
}

/** What a file of results holds already; undefined where there is none. @throws InputError for another file, which stays as it is */
async function readResults(path: string): Promise<BenchFile | undefined> {
  if (!existsSync(path)) return undefined;
  try {
    return parseBench(await readFile(path, 'utf8'));
  } catch (cause) {
    if (!(cause instanceof InputError)) throw cause;
    const fix = 'Name another file, or delete it.';
    const problem = `a file is there that holds no results of this version (${cause.problem})`;
    throw new InputError({ op: 'bench', problem, path, fix, cause });
  }
}

/** Where results go; checked before anything is measured. @throws InputError */
function fileOf({ json, label }: Options): string | undefined {
  if (json !== undefined && label !== undefined) {
    throw new InputError({
      op: 'bench',
      problem: 'two places for one file',
      path: '--label',
      fix: 'Give --json or --label.',
    });
  }
  const path = label === undefined ? json : labelled(label);
  if (path !== undefined) checkOutput(path, ['.json']);
  return path;
}

function labelled(label: string): string {
  const results = join(packageRoot(), 'bench', 'results');
  if (!existsSync(results)) {
    const problem = "the folder of results comes with the repository's clone, not with the npm package";
    throw new InputError({ op: 'bench', problem, path: '--label', fix: 'Name a file with --json.' });
  }
  if (/^[\w-]+$/.test(label)) return join(results, `${label}.json`);
  const expected = 'letters, digits, - and _';
  throw new InputError({ op: 'bench', problem: 'no name of a file', expected, value: label, path: '--label' });
}

function jsonFile(path: string, file: BenchFile): OutputFile {
  return textFile(path, `${JSON.stringify(file, null, 2)}\n`);
}

function textFile(path: string, text: string): OutputFile {
  return { path, bytes: new TextEncoder().encode(text) };
}

/** @throws NumericsError where a kernel or a network computed something else than it must */
function refuseWrong({ rows, networks }: BenchFile): void {
  const wrong = [...rows, ...networks].filter(row => row.wrong).map(({ name }) => name);
  if (wrong.length === 0) return;
  throw new NumericsError({
    op: 'bench',
    problem: `${wrong.length === 1 ? 'a row computes' : `${wrong.length} rows compute`} something else than it must`,
    received: wrong.join('; '),
    fix: 'Report it with the adapter and driver: rows that are wrong have no speed.',
  });
}
