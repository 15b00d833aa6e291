/** What the page is doing, in words and as a bar. */
import type { DeviceLossEvent, ProgressEvent } from 'pentimento';
import type { CacheEvent } from 'pentimento/page';
import { box, element } from './elements.ts';

const WORDS: Readonly<Record<string, string>> = {
  load: 'Loading weights',
  compile: 'Preparing the graphics card',
  text: 'Reading the words',
  encode: 'Looking at the picture',
  mask: 'Finding the mask',
  invert: 'Turning the picture into noise',
  edit: 'Painting',
  decode: 'Making pixels',
};

/** Bar, detail, clock, and the region that screen readers speak. */
export class Progress {
  readonly #bar = element('progress', HTMLProgressElement);
  #phase: string | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Something begins whose length is not known. */
  begin(text: string): void {
    box('problem').textContent = '';
    this.#phase = undefined;
    this.#bar.hidden = false;
    this.#bar.removeAttribute('value');
    box('detail').textContent = '';
    const begun = performance.now();
    const tick = (): void => {
      const seconds = Math.floor((performance.now() - begun) / 1000);
      box('clock').textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    };
    clearInterval(this.#timer);
    this.#timer = setInterval(tick, 1000);
    tick();
    this.say(text);
  }

  /** A piece of work is done. */
  step({ phase, step, of, secondsLeft }: ProgressEvent): void {
    const done = phase === 'load' ? `${megabytes(step)} of ${megabytes(of)} MB` : `${step} of ${of}`;
    this.#show(phase, `${WORDS[phase] ?? phase}…`, { step, of, text: `${done}${left(secondsLeft)}` });
  }

  /** A file arrives. */
  bytes({ file, bytes, of, secondsLeft }: CacheEvent): void {
    const size = of === undefined ? '' : ` of ${megabytes(of)}`;
    const text = `${file}: ${megabytes(bytes)}${size} MB${left(secondsLeft)}`;
    this.#show('fetch', 'Fetching the model…', { step: bytes, of: of ?? bytes, text });
  }

  /** The device is lost, or there again. */
  loss({ state }: DeviceLossEvent): void {
    this.#phase = undefined; // which is told again
    this.say(
      state === 'lost'
        ? 'The graphics card was lost (a driver that was reset, or the like); another one is asked for…'
        : 'The graphics card is back; the work goes on where it was.',
    );
  }

  /** Rows of a table, or the like. */
  count(text: string, step: number, of: number): void {
    this.#show(text, text, { step, of, text: `${step} of ${of}` });
  }

  /** It has ended well; what was a problem meanwhile, such as a file that is none, is so still. */
  end(text: string): void {
    clearInterval(this.#timer);
    this.#bar.hidden = true;
    for (const id of ['detail', 'clock']) box(id).textContent = '';
    this.say(text);
  }

  /** It has failed. */
  fail(error: unknown): void {
    this.end('');
    this.problem(error);
  }

  /** Something else than what runs, if anything does, has failed. */
  problem(error: unknown): void {
    box('problem').textContent = reasonOf(error);
  }

  /** What was a problem is none any more. @param text which is spoken */
  solved(text?: string): void {
    box('problem').textContent = '';
    if (text !== undefined) this.say(text);
  }

  /** This is no problem any more; another one that is told stays. */
  solve(error: unknown): void {
    if (box('problem').textContent === reasonOf(error)) this.solved();
  }

  /** Speaks. */
  say(text: string): void {
    box('status').textContent = text;
  }

  #show(phase: string, words: string, { step, of, text }: { step: number; of: number; text: string }): void {
    this.#bar.hidden = false;
    this.#bar.max = of || 1;
    this.#bar.value = step;
    // Phases alone are spoken: steps would talk without an end.
    if (phase !== this.#phase) this.say(words);
    this.#phase = phase;
    box('detail').textContent = text;
  }
}

/** What an error says, without the name of the function that threw it, which tells visitors nothing. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { op } = error as { readonly op?: unknown };
  const text = error.message.startsWith(`${op}: `) ? error.message.slice(`${op}: `.length) : error.message;
  return /^\w+\.\w/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1); // names of files and settings stay as they are
}

function left(seconds: number | undefined): string {
  if (seconds === undefined || !(seconds >= 1)) return '';
  return seconds < 90 ? `, about ${Math.ceil(seconds)} s left` : `, about ${Math.ceil(seconds / 60)} min left`;
}

/** Megabytes, of 10^6 bytes: small ones with a tenth. */
export function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}
