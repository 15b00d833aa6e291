/** The page's state, and what its buttons do. */
import { caption, type FitMode, generatePrompts, maskToImage, type RgbImage } from 'pentimento';
import type { WorkerPipeline } from 'pentimento/worker';
import { AdapterPanel } from './adapters.ts';
import { Editor, findMask, maskKey, runArguments, type Subject, type Watch } from './edit.ts';
import { box, button, element, input, make, select } from './elements.ts';
import { Mask, type UNTOUCHED } from './mask.ts';
import { nameModel } from './model-panel.ts';
import { type Choice, embedded, Models } from './models.ts';
import { Painter } from './painter.ts';
import { savePicture, saveText } from './pixels.ts';
import { planTable } from './plan-table.ts';
import { Progress } from './progress.ts';
import { type Asked, readSettings, writeSettings } from './settings-file.ts';
import { SettingsForm } from './settings-form.ts';
import { Stage } from './stage.ts';
import { subjectOf } from './subject.ts';
import { Tries, type Try } from './tries.ts';

/** How many sentences are suggested. */
const SUGGESTIONS = 4;
const SLIDERS = ['level', 'grow', 'soften'] as const;
/** Buttons that begin what runs alone. */
const WORKERS = ['edit', 'find', 'caption', 'suggest', 'plan', 'blank'];

/** Everything behind the page. */
export class Studio {
  readonly progress = new Progress();
  readonly form = new SettingsForm();
  readonly painter: Painter;
  readonly models: Models;
  readonly #stage = new Stage();
  readonly #editor = new Editor();
  readonly #tries = new Tries(chosen => this.#show(chosen));
  readonly #adapters: AdapterPanel;
  #photo: RgbImage | undefined;
  #subject: Subject | undefined;
  /** What the mask was found for; undefined where it was drawn by hand. */
  #maskKey: string | undefined;
  #running: AbortController | undefined;
  /** The button that had focus when it began. */
  #began: HTMLButtonElement | undefined;

  constructor(choice: Choice) {
    const onWarning = (message: string): void => this.progress.say(message);
    this.models = new Models(choice, { onProgress: event => this.progress.step(event), onWarning });
    this.painter = new Painter(
      () => this.maskChanged(),
      text => this.progress.say(text),
    );
    this.#adapters = new AdapterPanel({
      pipeline: () => this.models.pipeline(),
      busy: (text, work) => this.busy(text, async () => work(await this.models.pipeline())),
    });
  }

  get choice(): Choice {
    return this.models.choice;
  }

  /** Opens the model, and fits the page to it. */
  async open(choice?: Choice): Promise<void> {
    nameModel('opening…');
    await this.busy('Opening the model…', async () => {
      if (choice) await this.models.choose(choice);
      this.#adapters.forget();
      const pipe = await this.models.pipeline();
      this.form.model(pipe.recommended);
      const { width, height } = pipe.defaultSize;
      const megabytes = Math.round(pipe.bytes / 1e6);
      nameModel(`${this.choice.name}, ${pipe.dtype}, ${width} × ${height} pixels, ${megabytes} MB on the device.`);
      const { description, vendor, architecture } = pipe.caps;
      box('device').textContent =
        `Device: ${description || [vendor, architecture].filter(Boolean).join(' ') || 'unnamed'}.`;
      this.refit(pipe);
      return 'Ready.';
    });
    if (this.choice === embedded) await this.models.keepForLater();
  }

  /** Another picture. */
  photo(photo: RgbImage, shows?: string): void {
    this.#photo = photo;
    if (shows) input('source').value = shows;
    this.#stage.photo(photo);
    this.models.pipeline().then(
      pipe => this.refit(pipe),
      () => undefined,
    );
  }

  /** The picture as the model sees it, where there are both. */
  refit(pipe: WorkerPipeline): void {
    const photo = this.#photo;
    if (!photo) return;
    const fit = select('fit').value as FitMode;
    box('frame-box').hidden = fit !== 'crop';
    try {
      this.#subject = subjectOf(photo, pipe, fit, Number(input('frame').value) / 100);
    } catch (error) {
      this.progress.fail(error);
      return;
    }
    const { working } = this.#subject.fitted;
    box('size').textContent =
      `${photo.width} × ${photo.height} pixels; the model works at ${working.width} × ${working.height}.`;
    this.#stage.fit(this.#subject.fitted);
    this.#stage.result(undefined);
    this.#editor.forget();
    this.#setMask(undefined);
  }

  /** What the page asks now. @throws Error for a field that holds nothing possible */
  asked(): Asked {
    const negative = input('negative').value.trim();
    const negativePrompt = negative || this.form.negativePrompt;
    return {
      sourcePrompt: input('source').value.trim(),
      targetPrompt: input('target').value.trim(),
      ...(negativePrompt === undefined ? {} : { negativePrompt }),
      seed: input('seed').valueAsNumber || 0,
      fit: select('fit').value as FitMode,
      frame: Number(input('frame').value) / 100,
      settings: this.form.values,
      mask: this.#adjustments(),
    };
  }

  /** Puts a file of settings into the page. */
  async settings(text: string): Promise<void> {
    const asked = readSettings(text);
    const pipe = await this.models.pipeline();
    input('source').value = asked.sourcePrompt;
    input('target').value = asked.targetPrompt;
    input('negative').value = asked.negativePrompt ?? '';
    input('seed').value = String(asked.seed);
    select('fit').value = asked.fit;
    input('frame').value = String(100 * asked.frame);
    this.form.values = asked.settings;
    for (const name of SLIDERS) input(name).value = String(asked.mask[name]);
    this.refit(pipe);
    this.adjust();
    this.progress.end('The settings are as in the file.');
  }

  /** Finds the mask and shows it. */
  find(): Promise<void> {
    return this.busy('Finding the mask…', async watch => {
      await this.#find(await this.models.pipeline(), watch);
      return 'Here is the mask. Adjust it, paint over it, or edit.';
    });
  }

  /** A mask with nothing in it, to be painted. */
  blank(): void {
    this.models.pipeline().then(
      pipe => {
        const { working } = this.#subjectNow().fitted;
        const [width, height] = [working.width, working.height].map(side => side / pipe.vaeScaleFactor) as [
          number,
          number,
        ];
        this.#setMask(
          new Mask(new Float32Array(width * height), width, height, this.form.values['maskMode'] === 'soft'),
        );
      },
      error => this.progress.fail(error),
    );
  }

  /** Edits; finds the mask before, where there is none for what is asked. */
  edit(): Promise<void> {
    return this.busy('Editing…', async watch => {
      const pipe = await this.models.pipeline();
      const begin = performance.now();
      const subject = this.#subjectNow();
      const { mask: held } = this.painter;
      const found = this.#maskKey;
      const stale = found !== undefined && !held?.undoable && found !== this.#keyOfMask();
      const mask = held && !stale ? held : await this.#find(pipe, watch);
      this.#stage.result(undefined);
      const asked = this.asked();
      const picture = await this.#editor.edit(pipe, asked, subject, mask, watch);
      const grey = maskToImage(mask.values(), pipe.vaeScaleFactor);
      const seconds = (performance.now() - begin) / 1000;
      this.#tries.add({ asked, model: this.choice.name, picture, photo: subject.photo, mask: grey, seconds });
      this.#stage.result(picture);
      input('show-mask').checked = false;
      this.painter.show();
      return `Done in ${seconds.toFixed(0)} s. Move the slider between before and after.`;
    });
  }

  /** Writes what the picture shows. */
  caption(): Promise<void> {
    return this.busy('Describing the picture…', async ({ signal }) => {
      const photo = this.#photo;
      if (!photo) throw new Error('There is no picture yet: drop one, or take a sample.');
      input('source').value = await caption(await this.models.captioner(), photo, null, { signal });
      return `It shows: ${input('source').value}`;
    });
  }

  /** Writes prompts about a word. */
  suggest(): Promise<void> {
    return this.busy('Writing prompts…', async ({ signal }) => {
      const texts = await generatePrompts(await this.models.writer(), input('concept').value.trim(), {
        n: SUGGESTIONS,
        signal,
      });
      const buttons = [...new Set(texts)].map(text => {
        const use = make('button', { type: 'button' }, text);
        use.addEventListener('click', () => {
          input('target').value = text;
          this.progress.say(`It shall show: ${text}`);
        });
        return make('li', {}, use);
      });
      box('suggestions').replaceChildren(...buttons);
      return `${buttons.length} suggestions.`;
    });
  }

  /** Says what an edit would take. */
  plan(): Promise<void> {
    return this.busy('Planning…', async () => {
      const pipe = await this.models.pipeline();
      const plan = await pipe.plan(runArguments(this.asked(), this.#subjectNow()));
      box('plan-out').replaceChildren(planTable(plan));
      return `An edit takes at most ${Math.round(plan.peakBytes / 1e6)} MB.`;
    });
  }

  /** The sliders of the mask have moved. */
  adjust(): void {
    for (const name of SLIDERS) box(`${name}-out`).textContent = input(name).value;
    if (this.painter.mask) this.painter.mask.adjustments = this.#adjustments();
    this.maskChanged();
  }

  /** The mask is another one. */
  maskChanged(): void {
    const { mask } = this.painter;
    element('mask-tools', HTMLFieldSetElement).disabled = !mask;
    button('undo').disabled = !mask?.undoable;
    this.painter.show();
  }

  /** Ends what runs. */
  cancel(): void {
    this.#running?.abort();
  }

  async savePicture(): Promise<void> {
    if (this.#tries.chosen) await savePicture(this.#tries.chosen.picture, 'pentimento.png');
  }

  async saveMask(): Promise<void> {
    if (this.#tries.chosen) await savePicture(this.#tries.chosen.mask, 'pentimento-mask.png');
  }

  /** Puts what the chosen try was asked into the page. */
  async useAgain(): Promise<void> {
    const { chosen } = this.#tries;
    if (!chosen) return;
    this.photo(chosen.photo);
    await this.settings(writeSettings(chosen.asked, chosen.model));
  }

  saveSettings(): void {
    const { chosen } = this.#tries;
    if (chosen) saveText(writeSettings(chosen.asked, chosen.model), 'pentimento.json');
  }

  /** Runs one piece of work at a time; it can be cancelled, and what it throws is shown. */
  async busy(text: string, work: (watch: Watch) => Promise<string>): Promise<void> {
    if (this.#running) return this.progress.say('Something is running already; cancel it first.');
    const running = new AbortController();
    this.#running = running;
    this.progress.begin(text);
    this.#enable(false);
    const { signal } = running;
    const onProgress = this.progress.step.bind(this.progress);
    try {
      this.progress.end(await work({ signal, onProgress, preview: this.#stage.preview }));
    } catch (error) {
      if (signal.aborted) this.progress.end('Cancelled.');
      else this.progress.fail(error);
    } finally {
      this.#running = undefined;
      this.#stage.preview.hidden = true;
      this.#enable(true);
    }
  }

  /** Focus goes from the button that begins something to the one that ends it, and back; nobody else's is taken. */
  #enable(free: boolean): void {
    const { activeElement } = document;
    const buttons = WORKERS.map(button);
    const cancel = button('cancel');
    if (!free) this.#began = buttons.find(one => one === activeElement);
    for (const one of buttons) one.disabled = !free;
    cancel.hidden = free;
    if (!free && this.#began) cancel.focus();
    if (free && activeElement === cancel) (this.#began ?? button('edit')).focus();
  }

  #adjustments(): typeof UNTOUCHED {
    const [level = 0.5, grow = 0, soften = 0] = SLIDERS.map(name => Number(input(name).value));
    return { level, grow, soften };
  }

  #keyOfMask(): string {
    return JSON.stringify([maskKey(this.asked()), this.#adapters.state]);
  }

  #subjectNow(): Subject {
    if (this.#subject) return this.#subject;
    throw new Error('There is no picture yet: drop one, or take a sample.');
  }

  async #find(pipe: WorkerPipeline, watch: Watch): Promise<Mask> {
    const [asked, subject, key] = [this.asked(), this.#subjectNow(), this.#keyOfMask()];
    this.#stage.result(undefined);
    const mask = await findMask(pipe, asked, subject, watch);
    input('show-mask').checked = true;
    this.#setMask(mask, key);
    return mask;
  }

  #setMask(mask: Mask | undefined, key?: string): void {
    this.#maskKey = key;
    if (mask) mask.adjustments = this.#adjustments();
    this.painter.mask = mask;
    this.maskChanged();
  }

  #show({ photo, picture }: Try): void {
    this.#stage.photo(photo);
    this.#stage.result(picture);
    input('show-mask').checked = false;
    this.painter.show();
  }
}
