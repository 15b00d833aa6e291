/**
 * The benchmark's file, version 1: its types, and the fields by which a file is written, read, shown and documented
 * (docs/benchmark.md holds their table). Nothing here is of Node: a page reads and writes the same file.
 */
import { InputError } from '../src/core/errors.ts';
import type { OptionalFeature } from '../src/gpu/device.ts';
import { count, type Field, list, number, object, oneOf, optional, orNull, plain, text } from './fields.ts';

/** By what times are taken: the device's own timestamps, the wall clock, or seconds of the processor over all threads. */
export type BenchClock = 'timestamps' | 'clock' | 'processor';
/** The ceiling that a kernel would reach first. */
export type Bound = 'fmaF32' | 'fmaF16' | 'matrix' | 'copy';
/** A feature that the device may be made to do without. */
export type Feature = OptionalFeature;

/** Who made the adapter, in WebGPU's words. */
export interface BenchAdapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
}

/** Where it ran. */
export interface BenchMachine {
  readonly cpu: string;
  readonly cores: number;
  readonly runtime: string;
}

/** What micro-kernels reach on the adapter. */
export interface Ceilings {
  readonly fmaF32: number;
  readonly fmaF16: number | null;
  readonly matrix: number | null;
  readonly copy: number;
  readonly copyBytes: number;
}

/** A spread of times; null where none was told or the result was wrong. */
export interface Times {
  readonly minMs: number | null;
  readonly medianMs: number | null;
  readonly p90Ms: number | null;
  readonly cpuMs: number | null;
}

/** A kernel, or several that make one operation. */
export interface KernelRow extends Times {
  readonly name: string;
  readonly op: string;
  readonly shape: Readonly<Record<string, number>>;
  readonly storage: Readonly<Record<string, string>>;
  readonly variant: string;
  readonly tiles: Readonly<Record<string, number>>;
  readonly gflops: number | null;
  readonly gbs: number | null;
  readonly intensity: number;
  readonly bound: Bound;
  readonly share: number | null;
  readonly compileMs: number;
  readonly error: number | null;
  readonly maxError: number | null;
  readonly wrong?: true | undefined;
}

/** A network, replayed. */
export interface NetworkRow extends Times {
  readonly name: string;
  readonly gflops: number | null;
  readonly share: number | null;
  readonly dispatches: number;
  readonly peakBytes: number;
  readonly wrong?: true | undefined;
}

/** The same operation on another engine. */
export interface PeerRow extends Times {
  readonly name: string;
  readonly gflops: number | null;
  readonly form?: string | undefined;
  readonly firstMs: number | null;
  readonly error: number | null;
  readonly wrong?: true | undefined;
  readonly missing?: string | undefined;
  readonly ratio: number | null;
}

/** Names of the engines that can be raced. */
export const PEERS = ['onnxruntime', 'tfjs', 'jax'] as const;
/** One of them. */
export type PeerName = (typeof PEERS)[number];

/** Another engine with its rows. */
export interface BenchPeer {
  readonly name: PeerName;
  readonly package: string;
  readonly version: string | null;
  readonly adapter?: BenchAdapter | undefined;
  readonly missing?: string | undefined;
  readonly rows: readonly PeerRow[];
}

/** The whole file. */
export interface BenchFile {
  readonly version: 1;
  readonly kind: 'pentimento-bench';
  readonly made: string;
  readonly library: string;
  readonly kernels: string;
  readonly adapter: BenchAdapter;
  readonly caps: object;
  readonly driver: string;
  readonly toggles: readonly string[];
  readonly features: readonly string[];
  readonly machine: BenchMachine;
  readonly without: readonly Feature[];
  readonly clock: BenchClock;
  readonly tuning: string | null;
  readonly ceilings: Ceilings;
  readonly samples: number;
  readonly rows: readonly KernelRow[];
  readonly networks: readonly NetworkRow[];
  readonly peers: readonly BenchPeer[];
}

/** What is known before anything is measured. */
export type BenchHead = Omit<BenchFile, 'ceilings' | 'rows' | 'networks' | 'peers'>;

/** Features that `--without` takes. */
export const FEATURES = ['timestamps', 'subgroups', 'f16', 'matrix'] as const satisfies readonly Feature[];

const ADAPTER_FIELDS = {
  vendor: text('such as nvidia'),
  architecture: text('family of chips, such as ampere'),
  device: text("the maker's number or name of the chip"),
  description: text("the driver's own words"),
};

const ADAPTER = object<BenchAdapter>(
  "who made it, in WebGPU's words; texts are empty where nothing is told",
  ADAPTER_FIELDS,
);

const MACHINE = object<BenchMachine>('what it ran on', {
  cpu: text("the processor's name; empty in a page"),
  cores: count('logical processors'),
  runtime: text('Node with its version, or the browser'),
});

const CEILINGS = object<Ceilings>('medians of what micro-kernels reach on this adapter, each checked for its result', {
  fmaF32: number('GFLOP/s of independent multiply-adds in f32, two operations each'),
  fmaF16: orNull(number('the same in f16; null without shader-f16')),
  matrix: orNull(number('GFLOP/s of matrix units whose fragments stay in registers; null without units')),
  copy: number('GB/s of a copy, bytes read and bytes written together'),
  copyBytes: count(
    'bytes that the copy reads, as many as it writes: more than the last cache holds, where the adapter allows',
  ),
});

const wrong = optional(oneOf('the error is beyond the bound of the storage; the row has no speed', true));

const TIMES = {
  minMs: orNull(number('least time of a run, ms; null where the row is wrong or missing')),
  medianMs: orNull(number("median time of a run, ms, by the file's `clock`")),
  p90Ms: orNull(number('nine tenths of the samples took at most so long, ms')),
  cpuMs: orNull(
    number(
      'median processor time of a run over all threads, ms: on software adapters the work itself; null where nobody tells',
    ),
  ),
};

const ROW = object<KernelRow>('a kernel', {
  name: text('operation, shape and storage in words; unique in the file'),
  op: text(
    'what is computed: matmul (by packed weights), conv3x3, attention, group-norm-silu (three calls), layer-norm, rms-norm or softmax',
  ),
  shape: plain('sizes by name'),
  storage: plain('how values lie in memory by operand: f32, f16, f16-packed or bf16-packed'),
  variant: text("the variant that was chosen, as tuning calls it; of group-norm-silu its middle call's"),
  tiles: plain('its tile sizes by the names in its WGSL'),
  ...TIMES,
  gflops: orNull(number('floating-point operations, two a multiply-add, over the median, in GFLOP/s')),
  gbs: orNull(number('bytes that memory must serve, each operand once, over the median, in GB/s')),
  intensity: number('operations a byte'),
  bound: oneOf('the ceiling that is reached first at this intensity', 'fmaF32', 'fmaF16', 'matrix', 'copy'),
  share: orNull(
    number('part of that ceiling, 1 is all of it; above 1 where operands stay in caches that the copy exceeds'),
  ),
  compileMs: number("from WGSL to pipelines that ran once, ms, the driver's own cache left out where it can be"),
  error: orNull(
    number('relative L2 against f64 loops over sampled elements, in the same run; null where the result is not finite'),
  ),
  maxError: orNull(number('largest difference over the root mean square of what was expected, over the same elements')),
  wrong,
});

const NETWORK = object<NetworkRow>(
  'a network, replayed: encoded, submitted and awaited, by the wall clock where the device has timestamps',
  {
    name: text('model, network and type of its values'),
    ...TIMES,
    gflops: orNull(number('operations of its products and attentions over the median, in GFLOP/s')),
    share: orNull(number('part of the ceiling of its arithmetic')),
    dispatches: count('dispatches of a replay'),
    peakBytes: count('bytes of the plan itself, weights left out'),
    wrong: optional(oneOf('its result is not finite; the row has no speed', true)),
  },
);

const PEER = object<BenchPeer>('another engine', {
  name: oneOf('as --against calls it', ...PEERS),
  package: text('of the registry'),
  version: orNull(text('of the package that ran; null where it is missing')),
  adapter: optional(object<BenchAdapter>('the adapter that it got: ours, or it did not run', ADAPTER_FIELDS)),
  missing: optional(text('why nothing of it ran')),
  rows: list(
    'its rows',
    object<PeerRow>('the same operation on values of the same kind', {
      name: text('of the row that it is raced against'),
      ...TIMES,
      gflops: orNull(number('operations of our row over its median, in GFLOP/s')),
      form: optional(text("in which of the engine's operations it was said: the fastest of those that are right")),
      firstMs: orNull(number('from the model to the end of the first run, ms')),
      error: orNull(number('relative L2 against f64 loops; null where the result is not finite, and of networks')),
      wrong,
      missing: optional(text('why the row did not run')),
      ratio: orNull(number("its median over ours, by the file's `clock`: above 1 ours is faster")),
    }),
  ),
});

/** The fields of the file. */
export const BENCH_FILE: Field<BenchFile> = object<BenchFile>('the file', {
  version: oneOf('of these fields', 1),
  kind: oneOf('tells the file from others', 'pentimento-bench'),
  made: text('when, ISO 8601'),
  library: text('version of pentimento'),
  kernels: text('SHA-256 of all WGSL texts, in hexadecimal digits'),
  adapter: ADAPTER,
  caps: plain('what the engine relies on of the device (`Caps`)'),
  driver: text("the driver's own words, its version among them where it tells"),
  toggles: list("Dawn's toggles that were not its defaults; empty in a page", text('')),
  features: list("WebGPU's names of the device's features, sorted", text('')),
  machine: MACHINE,
  without: list('features that --without took away', oneOf('', ...FEATURES)),
  clock: oneOf(
    "of minMs, medianMs and p90Ms: the device's timestamps, the wall clock, or the processor's seconds over all threads",
    'timestamps',
    'clock',
    'processor',
  ),
  tuning: orNull(text("key of the table that chose variants, or 'choices by hand'; null where ranks did")),
  ceilings: CEILINGS,
  samples: count('of each row; a page takes fewer of one that lasts long, three at least'),
  rows: list('kernels', ROW),
  networks: list('networks', NETWORK),
  peers: list('other engines', PEER),
});

/**
 * Reads a file of the benchmark.
 * @param json its text, or what `JSON.parse` made of it
 * @throws InputError for what is no such file, of another version, or has a field that is missing, unknown or of another type
 */
export function parseBench(json: unknown): BenchFile {
  const value = typeof json === 'string' ? parsed(json) : json;
  const { kind, version } = Object(value) as { readonly kind?: unknown; readonly version?: unknown };
  if (kind === 'pentimento-bench' && version !== 1) {
    throw new InputError({
      op: 'bench',
      problem: 'a file of another version',
      expected: 1,
      value: version,
      path: 'version',
      fix: 'Measure again, or read it with the version of pentimento that wrote it.',
    });
  }
  checkFile(BENCH_FILE, value);
  return value;
}

function checkFile(field: Field<BenchFile>, value: unknown): asserts value is BenchFile {
  field.check(value, '');
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new InputError({ op: 'bench', problem: 'the file is no JSON', fix: 'Write it anew.', cause });
  }
}

/** How a row of ours stands among the peers that ran it right. */
export interface Standing {
  /** 1 where none is faster. */
  readonly place: number;
  /** Engines that ran the row right, ours included. */
  readonly of: number;
  /** The fastest of the others. */
  readonly fastest: PeerName;
  /** Its median over ours: above 1 ours is first, by so much. */
  readonly ratio: number;
}

/** The standing of a row; undefined where no peer ran it right, or ours is wrong. */
export function standingOf({ peers }: Pick<BenchFile, 'peers'>, row: string): Standing | undefined {
  const ran = peers.flatMap(({ name, rows }) => {
    const ratio = rows.find(r => r.name === row && !r.wrong)?.ratio ?? null;
    return ratio === null ? [] : [{ name, ratio }];
  });
  const [first] = ran.sort((a, b) => a.ratio - b.ratio);
  if (!first) return undefined;
  const place = 1 + ran.filter(({ ratio }) => ratio < 1).length;
  return { place, of: ran.length + 1, fastest: first.name, ratio: first.ratio };
}
