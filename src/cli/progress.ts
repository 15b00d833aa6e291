/** Progress on stderr: bars with the time left on a terminal, one line a phase elsewhere. */
import cliProgress from 'cli-progress';
import { inMB, megabytes } from '../core/megabytes.ts';
import { LoadClock } from './load-clock.ts';
import type { ToldEvent, ToldPhase } from './told-event.ts';
import { warningInCommandWords } from './words.ts';

/** Where a command tells how far it is. */
export interface Progress {
  /** Takes the events of pipelines and of the guide. */
  readonly report: (event: ToldEvent) => void;
  /** Bytes of a download. */
  bytes(label: string, done: number, of: number): void;
  /** Things of a kind that are done, of all. */
  count(label: string, done: number, of: number): void;
  /** A line of text, such as a warning of the library, which is said in the command line's words. */
  readonly note: (line: string) => void;
  /** Ends the bar that is shown. */
  stop(): void;
  /** Milliseconds in which weights were loaded so far. */
  readonly loadMs: number;
}

/** What phases are called. */
export const PHASE_NAMES: Readonly<Record<ToldPhase, string>> = {
  load: 'loading weights',
  compile: 'building kernels',
  caption: 'captioning',
  prompts: 'writing prompts',
  text: 'reading prompts',
  write: 'writing',
  encode: 'encoding picture',
  mask: 'finding mask',
  invert: 'inverting',
  edit: 'editing',
  generate: 'making pictures',
  decode: 'decoding',
  tune: 'measuring kernels',
};

/** @param stream stderr, or what stands for it */
export function createProgress(stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? new Bars(stream) : new Lines(stream);
}

/** What is quicker is not worth a bar. */
const SLOW_MS = 300;

class Bars implements Progress {
  readonly #stream: NodeJS.WriteStream;
  #bar: cliProgress.SingleBar | undefined;
  #label = '';
  /** Of the bar that ended last: a phase may tell of its end twice. */
  #finished = '';
  /** A phase of which nothing is done yet: weights may have to come first. */
  #begun: ToldEvent | undefined;
  readonly #loads = new LoadClock();

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  get loadMs(): number {
    return this.#loads.ms;
  }

  readonly report = (e: ToldEvent): void => {
    this.#loads.add(e);
    if (e.phase === 'load') this.bytes(PHASE_NAMES.load, e.step, e.of);
    else if (e.phase === 'compile') this.#aside(e);
    else if (e.step === 0) this.#begun = e;
    else this.#show(PHASE_NAMES[e.phase], e.step, e.of, '{value}/{total}', e.what === undefined ? '' : `, ${e.what}`);
  };

  /** Kernels are built within a phase: they stand beside its bar. */
  #aside({ step, of, ms }: ToldEvent): void {
    const aside = step < of ? `, ${PHASE_NAMES.compile} ${step}/${of}` : '';
    const begun = this.#begun;
    if (begun && ms > SLOW_MS) this.#show(PHASE_NAMES[begun.phase], 0, begun.of, '{value}/{total}', aside);
    else this.#bar?.update({ aside });
  }

  bytes(label: string, done: number, of: number): void {
    const total = Math.max(1, megabytes(of));
    const value = Math.min(total - 1, megabytes(done)); // rounding alone ends no bar
    this.#show(label, done >= of ? total : value, total, '{value}/{total} MB');
  }

  count(label: string, done: number, of: number): void {
    this.#show(label, done, of, '{value}/{total}');
  }

  readonly note = (line: string): void => {
    this.stop();
    this.#stream.write(`${warningInCommandWords(line)}\n`);
  };

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
    this.#label = '';
  }

  #show(label: string, value: number, total: number, count: string, aside = ''): void {
    if (label === this.#finished && value >= total) return;
    this.#begun = undefined;
    if (label !== this.#label) {
      this.stop();
      this.#label = label;
      this.#finished = '';
      const format = `${label.padEnd(16)} {bar} ${count} | {duration_formatted}, {eta_formatted} left{aside}`;
      const options = { format, stream: this.#stream, hideCursor: true, barsize: 24, etaBuffer: 5 };
      this.#bar = new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic);
      this.#bar.start(total, 0, { aside });
    }
    this.#bar?.setTotal(total);
    this.#bar?.update(value, { aside });
    if (value < total) return;
    this.stop();
    this.#finished = label;
  }
}

/** Phases of a moment: networks that are loaded before and after one read as one load. */
const SHORT: readonly ToldPhase[] = ['load', 'compile', 'text', 'encode'];
/** From one line of a phase to the next, while it lasts: whoever reads a log sees that it goes on. */
const LINE_MS = 15_000;
/** What a phase counts; steps where it is not here. */
const PIECES: Readonly<Partial<Record<ToldPhase, string>>> = {
  ...{ compile: 'kernels', caption: 'tokens', write: 'tokens', prompts: 'sentences', text: 'prompts' },
  tune: 'choices',
};

class Lines implements Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #loads = new LoadClock();
  #last = '';
  /** The phase of the event before, and when a line said that it goes on. */
  #lasting: { phase: ToldPhase; ms: number } = { phase: 'load', ms: 0 };
  /** The transfer of bytes that goes on, and when a line said so. */
  #transfer: { key: string; ms: number } = { key: '', ms: 0 };

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  get loadMs(): number {
    return this.#loads.ms;
  }

  readonly report = (e: ToldEvent): void => {
    this.#loads.add(e);
    this.#goesOn(e);
    if (e.phase === 'load' || e.phase === 'compile' || e.step === 0) return;
    if (!SHORT.includes(e.phase)) this.#tellLoads();
    const key = `${e.phase} ${e.of}`; // a phase may tell of its end twice
    if (e.step < e.of || key === this.#last) return;
    this.#last = key;
    const steps = e.of === 1 ? '' : `${e.of} ${PIECES[e.phase] ?? 'steps'}`;
    this.note(`${PHASE_NAMES[e.phase]}: ${[steps, seconds(e.ms)].filter(Boolean).join(', ')}`);
  };

  /** A line of a phase that lasts. */
  #goesOn({ phase, step, of, ms, secondsLeft }: ToldEvent): void {
    if (phase !== this.#lasting.phase || ms < this.#lasting.ms) this.#lasting = { phase, ms: 0 };
    if (step >= of || ms - this.#lasting.ms < LINE_MS) return;
    this.#lasting = { phase, ms };
    const done =
      phase === 'load' ? `${megabytes(step)} of ${inMB(of)}` : `${step} of ${of} ${PIECES[phase] ?? 'steps'}`;
    const left = secondsLeft === undefined ? '' : `, ${timeOf(secondsLeft)} left`;
    this.note(`${PHASE_NAMES[phase]}: ${done}${left}`);
  }

  bytes(label: string, done: number, of: number): void {
    const key = `${label} ${of}`;
    const now = performance.now();
    if (key !== this.#transfer.key) this.#transfer = { key, ms: now };
    if (done < of && now - this.#transfer.ms >= LINE_MS) {
      this.#transfer.ms = now;
      this.note(`${label}: ${megabytes(done)} of ${megabytes(of)} MB`);
    }
    if (done < of || key === this.#last) return;
    this.#last = key;
    this.note(`${label}: ${inMB(of)}`);
  }

  count(label: string, done: number, of: number): void {
    const now = performance.now();
    const key = `${label} ${of}`;
    if (key !== this.#transfer.key) this.#transfer = { key, ms: now };
    if (key === this.#last || (done < of && now - this.#transfer.ms < LINE_MS)) return;
    this.#transfer.ms = now;
    if (done >= of) this.#last = key;
    this.note(`${label}: ${done} of ${of}`);
  }

  readonly note = (line: string): void => {
    this.#stream.write(`${warningInCommandWords(line)}\n`);
  };

  stop(): void {
    this.#tellLoads();
  }

  #tellLoads(): void {
    const loaded = this.#loads.take();
    if (loaded) this.note(`${PHASE_NAMES.load}: ${inMB(loaded.bytes)}, ${seconds(loaded.ms)}`);
  }
}

/** Milliseconds in seconds. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Seconds as people read them. */
export function timeOf(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 90 ? `${whole} s` : `${Math.ceil(whole / 60)} min`;
}
