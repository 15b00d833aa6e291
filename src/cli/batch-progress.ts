/** Progress of many pictures: one bar with the time left on a terminal, a line a picture elsewhere. */
import cliProgress from 'cli-progress';
import { LoadClock } from './load-clock.ts';
import { createProgress, PHASE_NAMES, type Progress, seconds, timeOf } from './progress.ts';
import type { ToldEvent } from './told-event.ts';

/** Longest name of a picture that stands beside the bar. */
const SHOWN = 32;

/** Where many pictures tell how far they are. */
export class BatchProgress implements Progress {
  readonly #stream: NodeJS.WriteStream;
  /** While the model is opened. */
  readonly #opening: Progress;
  readonly #loads = new LoadClock();
  #bar: cliProgress.SingleBar | undefined;
  #now = '';
  #total = 0;
  #done = 0;
  #failed = 0;
  /** Pictures that were edited, and since when: the time left comes from these alone. */
  #edited = 0;
  #begun = 0;

  /** @param stream stderr, or what stands for it */
  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#opening = createProgress(stream);
  }

  get loadMs(): number {
    return this.#opening.loadMs + this.#loads.ms;
  }

  /** Pictures that are done, of those of this call and of calls before. */
  get done(): number {
    return this.#done;
  }

  /** Of how many. */
  get total(): number {
    return this.#total;
  }

  /** The pictures begin. */
  begin(total: number): void {
    this.#opening.stop();
    this.#total = total;
    this.#begun = performance.now();
    this.#draw();
  }

  /** Tells of the picture that is edited. */
  working(name: string, e: ToldEvent): void {
    this.#loads.add(e);
    const count = e.phase === 'load' || e.of === 1 ? '' : ` ${e.step}/${e.of}`;
    const short = name.length > SHOWN ? `…${name.slice(1 - SHOWN)}` : name;
    this.#now = ` | ${PHASE_NAMES[e.phase]}${count}, ${short}`;
    this.#draw();
  }

  /** A picture that an earlier call has done. */
  skipped(): void {
    this.#done++;
    this.#draw();
  }

  /** A picture that is written. */
  made(name: string, ms: number, masked: number | undefined): void {
    this.#done++;
    this.#edited++;
    const share = masked === undefined ? '' : `, mask ${Math.round(100 * masked)} %`;
    if (!this.#stream.isTTY) this.note(`${this.#count()} ${name}: ${seconds(ms)}${share}${this.#left()}`);
    this.#draw();
  }

  /** A picture that failed. */
  failed(name: string, why: string): void {
    this.#failed++;
    this.note(`${this.#stream.isTTY ? '' : `${this.#count()} `}${name}: failed: ${why}`);
  }

  readonly report = (e: ToldEvent): void => {
    this.#opening.report(e);
  };

  bytes(label: string, done: number, of: number): void {
    this.#opening.bytes(label, done, of);
  }

  count(label: string, done: number, of: number): void {
    this.#opening.count(label, done, of);
  }

  readonly note = (line: string): void => this.above(() => this.#opening.note(line));

  /** Writes lines, which may go to the same terminal, above the bar. */
  above(write: () => void): void {
    this.#clear();
    write();
    this.#draw();
  }

  stop(): void {
    this.#opening.stop();
    this.#clear();
    this.#total = 0;
  }

  #count(): string {
    return `${this.#done + this.#failed}/${this.#total}`;
  }

  /** Of the mean time of a picture; nothing before the first, and behind the last. */
  #left(): string {
    const left = this.#total - this.#done - this.#failed;
    if (this.#edited === 0 || left <= 0) return '';
    return `, ${timeOf(((performance.now() - this.#begun) / this.#edited / 1000) * left)} left`;
  }

  #draw(): void {
    if (!this.#stream.isTTY || this.#total === 0) return;
    const told = { left: this.#left(), now: this.#now };
    if (this.#bar) {
      this.#bar.update(this.#done, told);
      return;
    }
    const format = 'pictures {bar} {value}/{total}{left}{now}';
    const options = { format, stream: this.#stream, hideCursor: true, barsize: 24, clearOnComplete: true };
    this.#bar = new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic);
    this.#bar.start(this.#total, this.#done, told);
  }

  #clear(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
