/** Shows a mask over the picture, and lets it be painted by pointer and by keys. */
import { box, canvas, context, input } from '../../shared/elements.ts';
import type { Mask } from './mask.ts';

/** Seldom seen in photographs, and told from what lies around it by people who see no red or no green. */
const COLOUR = [98, 44, 255] as const;
/** Of the overlay where the mask is 1, of 255. */
const OPACITY = 165;

/** The overlay. */
export class Painter {
  readonly #overlay = canvas('overlay');
  readonly #cursor = box('cursor');
  readonly #changed: () => void;
  readonly #say: (text: string) => void;
  #mask: Mask | undefined;
  /** Of the keyboard's brush, in latents. */
  #at: [number, number] = [0, 0];
  #last: [number, number] | undefined;

  /** @param changed told of every change of paint; `say` speaks to people who do not see it */
  constructor(changed: () => void, say: (text: string) => void) {
    this.#changed = changed;
    this.#say = say;
    const on = this.#overlay;
    on.addEventListener('pointerdown', event => this.#press(event));
    on.addEventListener('pointermove', event => this.#move(event));
    on.addEventListener('pointerup', () => this.#release());
    on.addEventListener('pointercancel', () => this.#release());
    on.addEventListener('pointerleave', () => this.#place());
    on.addEventListener('keydown', event => this.#key(event));
    on.addEventListener('focus', () => this.#place());
    on.addEventListener('blur', () => this.#place());
    input('brush').addEventListener('input', () => this.#place());
    input('show-mask').addEventListener('change', () => this.show());
  }

  get mask(): Mask | undefined {
    return this.#mask;
  }

  set mask(mask: Mask | undefined) {
    this.#mask = mask;
    if (mask) this.#at = [Math.floor(mask.width / 2) + 0.5, Math.floor(mask.height / 2) + 0.5];
    this.show();
  }

  /** Draws the mask as it is now. */
  show(): void {
    const mask = this.#mask;
    this.#overlay.hidden = !mask || !input('show-mask').checked;
    this.#place();
    if (!mask) return;
    const { width, height } = mask;
    Object.assign(this.#overlay, { width, height });
    const pixels = new ImageData(width, height);
    mask.values().data.forEach((v, i) => void pixels.data.set([...COLOUR, Math.round(OPACITY * v)], 4 * i));
    context(this.#overlay).putImageData(pixels, 0, 0);
  }

  undo(): void {
    this.#mask?.undo();
    this.#changed();
  }

  get #radius(): number {
    return Number(input('brush').value) / 2;
  }

  get #value(): 0 | 1 {
    return this.#overlay.ownerDocument.querySelector<HTMLInputElement>('input[name="tool"]:checked')?.value === 'eraser'
      ? 0
      : 1;
  }

  /** Where a pointer is, in latents. */
  #placeOf(event: PointerEvent): [number, number] {
    const { left, top, width, height } = this.#overlay.getBoundingClientRect();
    const { width: w, height: h } = this.#overlay;
    return [((event.clientX - left) / width) * w, ((event.clientY - top) / height) * h];
  }

  #press(event: PointerEvent): void {
    if (!this.#mask || event.button !== 0) return;
    this.#overlay.setPointerCapture(event.pointerId);
    this.#mask.begin();
    this.#last = this.#placeOf(event);
    this.#mask.stamp(...this.#last, this.#radius, this.#value);
    this.#changed();
  }

  #move(event: PointerEvent): void {
    const at = this.#placeOf(event);
    this.#place(at);
    if (!this.#mask || !this.#last) return;
    this.#mask.line(this.#last, at, this.#radius, this.#value);
    this.#last = at;
    this.#changed();
  }

  #release(): void {
    this.#last = undefined;
  }

  #key(event: KeyboardEvent): void {
    const mask = this.#mask;
    if (!mask) return;
    const far = event.shiftKey ? 4 : 1;
    const [x, y] = this.#at;
    const go = (dx: number, dy: number) => (): void => {
      this.#at = [clamp(x + dx * far, mask.width), clamp(y + dy * far, mask.height)];
      this.#say(`column ${Math.ceil(this.#at[0])}, row ${Math.ceil(this.#at[1])}`);
    };
    const stamp = (): void => {
      mask.begin();
      mask.stamp(x, y, this.#radius, this.#value);
      this.#changed();
      this.#say(`${this.#value ? 'painted' : 'erased'} at column ${Math.ceil(x)}, row ${Math.ceil(y)}`);
    };
    const keys: Record<string, () => void> = {
      ArrowLeft: go(-1, 0),
      ArrowRight: go(1, 0),
      ArrowUp: go(0, -1),
      ArrowDown: go(0, 1),
      ' ': stamp,
      Enter: stamp,
      e: () => this.#toggle(),
      '[': () => this.#resize(-1),
      ']': () => this.#resize(1),
    };
    const undone = event.key === 'z' && (event.ctrlKey || event.metaKey);
    const act = undone ? () => this.undo() : event.ctrlKey || event.metaKey ? undefined : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
    this.#place();
  }

  #toggle(): void {
    const other = this.#value ? 'eraser' : 'brush';
    const tool = document.querySelector<HTMLInputElement>(`input[name="tool"][value="${other}"]`);
    if (tool) tool.checked = true;
    this.#say(other);
  }

  #resize(by: number): void {
    input('brush').valueAsNumber += by;
    this.#say(`size ${input('brush').value}`);
  }

  /** Shows the brush where the pointer is, or where the keys have taken it. */
  #place(at?: [number, number]): void {
    const focused = document.activeElement === this.#overlay;
    this.#cursor.hidden = !this.#mask || this.#overlay.hidden || !(at || focused);
    if (!this.#mask || this.#cursor.hidden) return;
    const { width, height } = this.#mask;
    const [x, y] = at ?? this.#at;
    const size = 2 * Math.max(this.#radius, 0.5);
    Object.assign(this.#cursor.style, {
      left: `${(100 * x) / width}%`,
      top: `${(100 * y) / height}%`,
      width: `${(100 * size) / width}%`,
      height: `${(100 * size) / height}%`,
    });
  }
}

function clamp(at: number, end: number): number {
  return Math.min(end - 0.5, Math.max(0.5, at));
}
