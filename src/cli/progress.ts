/** Progress on stderr: bars with the time left on a terminal, one line a phase elsewhere. */
import cliProgress from 'cli-progress';
import type { GuideEvent, GuidePhase } from '../pipeline/guide/guide-arguments.ts';
import { LoadClock } from './load-clock.ts';
import { warningInCommandWords } from './words.ts';

/** Where a command tells how far it is. */
export interface Progress {
  /** Takes the events of pipelines and of the guide. */
  readonly report: (event: GuideEvent) => void;
  /** Bytes of a download. */
  bytes(label: string, done: number, of: number): void;
  /** A line of text, such as a warning of the library, which is said in the command line's words. */
  readonly note: (line: string) => void;
  /** Ends the bar that is shown. */
  stop(): void;
  /** Milliseconds in which weights were loaded so far. */
  readonly loadMs: number;
}

const NAMES: Readonly<Record<GuidePhase, string>> = {
  load: 'loading weights',
  caption: 'captioning',
  prompts: 'writing prompts',
  text: 'reading prompts',
  encode: 'encoding picture',
  mask: 'finding mask',
  invert: 'inverting',
  edit: 'editing',
  decode: 'decoding',
};

/** @param stream stderr, or what stands for it */
export function createProgress(stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? new Bars(stream) : new Lines(stream);
}

class Bars implements Progress {
  readonly #stream: NodeJS.WriteStream;
  #bar: cliProgress.SingleBar | undefined;
  #label = '';
  /** Of the bar that ended last: a phase may tell of its end twice. */
  #finished = '';
  readonly #loads = new LoadClock();

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  get loadMs(): number {
    return this.#loads.ms;
  }

  readonly report = (e: GuideEvent): void => {
    this.#loads.add(e);
    if (e.phase === 'load') this.bytes(NAMES.load, e.step, e.of);
    else this.#show(NAMES[e.phase], e.step, e.of, '{value}/{total}');
  };

  bytes(label: string, done: number, of: number): void {
    const total = Math.max(1, Math.round(of / 2 ** 20));
    const value = Math.min(total - 1, Math.round(done / 2 ** 20)); // rounding alone ends no bar
    this.#show(label, done >= of ? total : value, total, '{value}/{total} MiB');
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

  #show(label: string, value: number, total: number, count: string): void {
    if (label === this.#finished && value >= total) return;
    if (label !== this.#label) {
      this.stop();
      this.#label = label;
      this.#finished = '';
      const format = `${label.padEnd(16)} {bar} ${count} | {duration_formatted}, {eta_formatted} left`;
      const options = { format, stream: this.#stream, hideCursor: true, barsize: 24, etaBuffer: 5 };
      this.#bar = new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic);
      this.#bar.start(total, 0);
    }
    this.#bar?.setTotal(total);
    this.#bar?.update(value);
    if (value < total) return;
    this.stop();
    this.#finished = label;
  }
}

/** Phases of a moment: networks that are loaded before and after one read as one load. */
const SHORT: readonly GuidePhase[] = ['load', 'text', 'encode'];

class Lines implements Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #loads = new LoadClock();
  #last = '';

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  get loadMs(): number {
    return this.#loads.ms;
  }

  readonly report = (e: GuideEvent): void => {
    this.#loads.add(e);
    if (!SHORT.includes(e.phase)) this.#tellLoads();
    if (e.phase === 'load') return;
    const key = `${e.phase} ${e.of}`; // a phase may tell of its end twice
    if (e.step < e.of || key === this.#last) return;
    this.#last = key;
    const steps = e.of === 1 ? '' : `${e.of} ${e.phase === 'prompts' ? 'sentences' : 'steps'}`;
    this.note(`${NAMES[e.phase]}: ${[steps, seconds(e.ms)].filter(Boolean).join(', ')}`);
  };

  bytes(label: string, done: number, of: number): void {
    const key = `${label} ${of}`;
    if (done < of || key === this.#last) return;
    this.#last = key;
    this.note(`${label}: ${Math.round(of / 2 ** 20)} MiB`);
  }

  readonly note = (line: string): void => {
    this.#stream.write(`${warningInCommandWords(line)}\n`);
  };

  stop(): void {
    this.#tellLoads();
  }

  #tellLoads(): void {
    const loaded = this.#loads.take();
    if (loaded) this.note(`${NAMES.load}: ${Math.round(loaded.bytes / 2 ** 20)} MiB, ${seconds(loaded.ms)}`);
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
