// SPDX-License-Identifier: Apache-2.0
// Bindings of examples/quickstart/module, in the form that generated code has.

import {
  t as __t,
  type Infer as __Infer,
} from "spacetimedb";

export const Person = __t.object("Person", {
  id: __t.u64(),
  name: __t.string(),
});
export type Person = __Infer<typeof Person>;
