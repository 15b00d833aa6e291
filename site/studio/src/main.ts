/** Wires the page to what it does. */
import { box, button, element, input, select } from '../../shared/elements.ts';
import { watchKeptPanel } from './kept-panel.ts';
import { firstChoice, watchModelPanel } from './model-panel.ts';
import { narrowPolicy } from './policy.ts';
import { Studio } from './studio.ts';
import { offerSamples, openSample, type Receivers, receiveFiles } from './subject.ts';

narrowPolicy();
const studio = new Studio(firstChoice());
const failed = (error: unknown): void => studio.progress.problem(error);
const receivers: Receivers = {
  photo: (photo, shows) => studio.photo(photo, shows),
  settings: text => studio.settings(text).catch(failed),
  folder: folder => void studio.open({ name: 'a dropped folder', folder: () => folder, local: true }),
  failed,
};

const clicks: Record<string, () => unknown> = {
  find: () => studio.find(),
  cancel: () => studio.cancel(),
  caption: () => studio.caption(),
  suggest: () => studio.suggest(),
  blank: () => studio.blank(),
  undo: () => studio.painter.undo(),
  unpaint: () => {
    studio.painter.mask?.clear();
    studio.maskChanged();
  },
  plan: () => studio.plan(),
  measure: () => studio.measure(),
  'copy-kernels': () => studio.copyKernels(),
  'as-recommended': () => studio.form.recommend(),
  'as-diffusers': () => {
    studio.form.values = {};
  },
  'save-picture': () => studio.tries.savePicture(),
  'save-mask': () => studio.tries.saveMask(),
  'save-settings': () => studio.tries.saveSettings(),
  'use-again': () => studio.useAgain(),
};
for (const [id, act] of Object.entries(clicks)) {
  button(id).addEventListener('click', () => void Promise.resolve(act()).catch(failed));
}
element('controls', HTMLFormElement).addEventListener('submit', event => {
  event.preventDefault();
  void studio.edit();
});
// Enter in these fields is for the buttons beside them, not for the form's.
for (const [field, id] of Object.entries({ hub: 'open-hub', token: 'open-hub', concept: 'suggest' })) {
  input(field).addEventListener('keydown', event => {
    if (event.key !== 'Enter' || event.isComposing) return;
    event.preventDefault();
    button(id).click();
  });
}
// A field that holds nothing possible is told where it can be seen.
element('controls', HTMLFormElement).addEventListener(
  'invalid',
  event => {
    for (let at = event.target as Element | null; at; at = at.parentElement)
      if (at instanceof HTMLDetailsElement) at.open = true;
  },
  true,
);
for (const id of ['level', 'grow', 'soften']) input(id).addEventListener('input', () => studio.adjust());
select('fit').addEventListener('change', () => studio.refit());
watchModelPanel(
  () => studio.choice,
  choice => void studio.open(choice),
);
watchKeptPanel(failed, text => studio.progress.say(text));
receiveFiles(receivers);
offerSamples(receivers);
studio.maskChanged();
openSample('apples-bowl.png', receivers);

if (navigator.gpu) void studio.open();
else studio.refuse();
box('stage').setAttribute('data-ready', '');

// The page itself is kept for visits without a network.
if ('serviceWorker' in navigator && isSecureContext) {
  navigator.serviceWorker.register(new URL('service-worker.js', document.baseURI)).catch(failed);
}
