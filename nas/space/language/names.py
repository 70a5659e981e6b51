"""Which names a user may give to the parts of a network: they become attributes of a module."""

from __future__ import annotations

import keyword
import re

from nas.kinds import dump_value

# Attributes of torch.nn.Module and torch.fx.GraphModule; a test compares them with the classes.
RESERVED = frozenset(
    """
    T_destination add_module add_submodule apply bfloat16 buffers call_super_init children code compile cpu
    cuda delete_all_unused_submodules delete_submodule double dump_patches eval extra_repr float forward
    get_buffer get_extra_state get_parameter get_submodule graph half input ipu load_state_dict meta modules
    mtia named_buffers named_children named_modules named_parameters parameters print_readable recompile
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule shape_env share_memory
    state_dict to to_empty to_folder train training type xpu zero_grad
    """.split()  # noqa: SIM905 - a list of this length is read as text
)


def find_name_problem(name: object) -> str | None:
    """Return what is wrong with a name, or None."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        return f"{dump_value(name)} is not a name; a name is a letter, then letters, digits and underscores"
    if re.fullmatch(r"layer[0-9]+", name):
        return f"'{name}' is the name of a stage's layer; choose another name"
    if keyword.iskeyword(name) or name in RESERVED:
        return f"'{name}' is a word of Python or torch; choose another name, such as '{name}_'"
    return None
