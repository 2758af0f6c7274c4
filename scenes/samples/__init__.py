"""Bundled scenes, of our own making: `load_scene("room")`, `load_scene("street")`.

    python -m inspatio_gym.scenes.synthetic room --seed 7 --out scenes/samples/room
    python -m inspatio_gym.scenes.synthetic street --seed 0 --out scenes/samples/street

made them (delete the folder first), so their depth, masks and cameras are the truth, and
`inspatio_gym.scenes.synthetic.from_scene(scene)` shows what any other camera would have seen at any moment.
"""
