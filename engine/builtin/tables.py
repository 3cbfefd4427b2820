"""The facts and word lists behind builtin:weir-tiny.

Everything the built-in model can know is in this file; families.py turns it into questions and answers.
"""


def pairs(text):
    """Parses 'key=value; key=value' into a list of pairs."""
    return [tuple(part.strip().split("=")) for part in text.replace("\n", " ").split(";") if part.strip()]


CAPITALS = pairs("""
France=Paris; Germany=Berlin; Spain=Madrid; Italy=Rome; Portugal=Lisbon; Ireland=Dublin; Austria=Vienna; Poland=Warsaw;
Greece=Athens; Sweden=Stockholm; Norway=Oslo; Finland=Helsinki; Denmark=Copenhagen; Iceland=Reykjavik; Belgium=Brussels;
the Netherlands=Amsterdam; Switzerland=Bern; Hungary=Budapest; Romania=Bucharest; Bulgaria=Sofia; Croatia=Zagreb;
Serbia=Belgrade; Slovenia=Ljubljana; Slovakia=Bratislava; the Czech Republic=Prague; Estonia=Tallinn; Latvia=Riga;
Lithuania=Vilnius; Ukraine=Kyiv; Albania=Tirana; Malta=Valletta; Cyprus=Nicosia; the United Kingdom=London;
England=London; Scotland=Edinburgh; Wales=Cardiff; Russia=Moscow; Turkey=Ankara; the United States=Washington;
Canada=Ottawa; Mexico=Mexico City; Cuba=Havana; Jamaica=Kingston; Panama=Panama City; Brazil=Brasilia;
Argentina=Buenos Aires; Chile=Santiago; Peru=Lima; Colombia=Bogota; Ecuador=Quito; Uruguay=Montevideo; Paraguay=Asuncion;
Venezuela=Caracas; China=Beijing; Japan=Tokyo; South Korea=Seoul; India=New Delhi; Pakistan=Islamabad; Nepal=Kathmandu;
Thailand=Bangkok; Vietnam=Hanoi; Malaysia=Kuala Lumpur; Indonesia=Jakarta; the Philippines=Manila; Mongolia=Ulaanbaatar;
Iran=Tehran; Iraq=Baghdad; Jordan=Amman; Lebanon=Beirut; Saudi Arabia=Riyadh; Qatar=Doha; Egypt=Cairo; Morocco=Rabat;
Tunisia=Tunis; Algeria=Algiers; Kenya=Nairobi; Ethiopia=Addis Ababa; Ghana=Accra; Nigeria=Abuja; Senegal=Dakar;
Uganda=Kampala; Zambia=Lusaka; Australia=Canberra; New Zealand=Wellington; Fiji=Suva
""")

COLOURS = pairs("""
the sky=blue; grass=green; snow=white; coal=black; a banana=yellow; a ripe tomato=red; a carrot=orange; blood=red;
milk=white; chocolate=brown; a lemon=yellow; the sea=blue; a strawberry=red; a flamingo=pink; an elephant=grey;
a leaf=green; a pumpkin=orange; a polar bear=white; a raven=black; a cucumber=green; the sun=yellow; a cherry=red;
a plum=purple; lavender=purple; mud=brown; a frog=green; a fire engine=red; cheese=yellow; ink=black; salt=white
""")

OPPOSITES = pairs("""
hot=cold; big=small; tall=short; fast=slow; up=down; left=right; open=closed; day=night; light=dark; happy=sad; good=bad;
young=old; rich=poor; hard=soft; full=empty; wet=dry; clean=dirty; early=late; strong=weak; high=low; near=far; in=out;
on=off; front=back; first=last; start=end; win=lose; buy=sell; push=pull; true=false; yes=no; loud=quiet; thick=thin;
wide=narrow; safe=dangerous; brave=afraid; black=white; north=south; east=west; give=take; love=hate;
laugh=cry; remember=forget; arrive=leave; above=below; inside=outside; always=never; more=less; many=few; alive=dead;
awake=asleep; sweet=bitter; sharp=blunt; deep=shallow; smooth=rough; cheap=expensive; question=answer; friend=enemy
""")

SOUNDS = pairs("""
cow=moo; dog=woof; cat=meow; sheep=baa; duck=quack; pig=oink; horse=neigh; lion=roar; bee=buzz; snake=hiss; frog=ribbit;
rooster=cock-a-doodle-doo; owl=hoot; mouse=squeak; bird=tweet; goat=maa; wolf=howl; crow=caw; turkey=gobble; donkey=hee-haw;
chick=cheep; bear=growl; pigeon=coo; cricket=chirp; goose=honk
""")

PLURALS = pairs("""
cat=cats; dog=dogs; mouse=mice; child=children; man=men; woman=women; foot=feet; tooth=teeth; goose=geese; sheep=sheep;
fish=fish; box=boxes; bus=buses; city=cities; baby=babies; leaf=leaves; knife=knives; wolf=wolves; tomato=tomatoes;
potato=potatoes; apple=apples; book=books; tree=trees; house=houses; car=cars; star=stars; church=churches; fox=foxes;
lady=ladies; party=parties; wife=wives; life=lives; hero=heroes; piano=pianos; key=keys; boy=boys; girl=girls; day=days;
person=people; ox=oxen; glass=glasses; dish=dishes; watch=watches; story=stories; berry=berries; shelf=shelves;
thief=thieves; cherry=cherries; river=rivers; cloud=clouds
""")

COUNTS = pairs("""
legs does a spider have=8; legs does a dog have=4; legs does a bird have=2; legs does an ant have=6; days are in a week=7;
months are in a year=12; hours are in a day=24; minutes are in an hour=60; seconds are in a minute=60;
letters are in the alphabet=26; wheels does a car have=4; wheels does a bicycle have=2; sides does a triangle have=3;
sides does a square have=4; sides does a hexagon have=6; fingers are on one hand=5; eyes does a person have=2;
seasons are in a year=4; strings does a violin have=4; planets are in the solar system=8; years are in a century=100;
arms does an octopus have=8; days are in April=30; days are in January=31; weeks are in a year=52; cents are in a dollar=100;
continents are there=7; legs does a snake have=0
""")

KINDS = pairs("""
apple=fruit; banana=fruit; cherry=fruit; pear=fruit; plum=fruit; lemon=fruit; mango=fruit; dog=animal; cat=animal; horse=animal;
tiger=animal; rabbit=animal; wolf=animal; lion=animal; rose=flower; tulip=flower; daisy=flower; lily=flower; piano=musical instrument;
violin=musical instrument; flute=musical instrument; drum=musical instrument; hammer=tool; saw=tool; drill=tool; carrot=vegetable;
potato=vegetable; cabbage=vegetable; spinach=vegetable; shirt=piece of clothing; coat=piece of clothing; hat=piece of clothing;
car=vehicle; bus=vehicle; bicycle=vehicle; train=vehicle; red=colour; blue=colour; green=colour; robin=bird; eagle=bird;
owl=bird; sparrow=bird; salmon=fish; shark=fish; trout=fish
""")

# English word = French, Spanish, German: the non-ASCII letters are there so that byte-level tokens meet real text.
TRANSLATIONS = {
    "cat": ("chat", "gato", "Katze"), "dog": ("chien", "perro", "Hund"), "house": ("maison", "casa", "Haus"),
    "water": ("eau", "agua", "Wasser"), "bread": ("pain", "pan", "Brot"), "milk": ("lait", "leche", "Milch"),
    "sun": ("soleil", "sol", "Sonne"), "moon": ("lune", "luna", "Mond"), "tree": ("arbre", "árbol", "Baum"),
    "book": ("livre", "libro", "Buch"), "school": ("école", "escuela", "Schule"), "boy": ("garçon", "niño", "Junge"),
    "girl": ("fille", "niña", "Mädchen"), "apple": ("pomme", "manzana", "Apfel"), "cheese": ("fromage", "queso", "Käse"),
    "head": ("tête", "cabeza", "Kopf"), "red": ("rouge", "rojo", "rot"), "green": ("vert", "verde", "grün"),
    "night": ("nuit", "noche", "Nacht"), "yes": ("oui", "sí", "ja"), "thank you": ("merci", "gracias", "danke"),
    "hello": ("bonjour", "hola", "hallo"), "goodbye": ("au revoir", "adiós", "tschüss"), "tea": ("thé", "té", "Tee"),
    "five": ("cinq", "cinco", "fünf"), "big": ("grand", "grande", "groß"), "door": ("porte", "puerta", "Tür"),
}
EMOJI = pairs("cat=🐱; dog=🐶; heart=❤; smile=😀; sun=☀; star=⭐; fire=🔥; tree=🌳; fish=🐟; apple=🍎; rocket=🚀; car=🚗")

LISTS = [
    ("the days of the week", "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    ("the months of the year", "January, February, March, April, May, June, July, August, September, October, November, December"),
    ("the four seasons", "spring, summer, autumn, winter"), ("three fruits", "apple, banana, cherry"),
    ("three colours", "red, green, blue"), ("three animals", "cat, dog, horse"), ("the vowels", "a, e, i, o, u"),
    ("two planets", "Earth, Mars"), ("three tools", "hammer, saw, drill"), ("three flowers", "rose, tulip, daisy"),
    ("the four directions", "north, south, east, west"), ("three birds", "robin, eagle, owl"),
]

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
NUMBER_WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
                "seventeen eighteen nineteen twenty").split()
NAMES = ("Ada Alan Anna Bella Ben Bob Carl Clara Dan Diana Emma Eric Eva Frank Fred Grace Hugo Ida Iris Jack Jane John Julia "
         "Kate Leo Lily Linus Lucy Maria Mark Max Mia Nina Noah Nora Oscar Otto Paul Peter Rosa Ruth Sam Sara Tom Vera Victor "
         "Walter Zoe Aria Nova Echo Rex Luna Pixel Robo Alice").split()
WORDS = ("apple baby bag ball bank bear bell bird blue boat book bottle box bread bridge brown bus butter button cake candle "
         "car carpet castle cat chair cheese child church city clock cloud coat coffee cold corn cow cup dance day desk dog "
         "door dream dress duck eagle ear earth egg engine eye farm fire fish flag floor flower foot forest fox frog fruit "
         "garden gate ghost glass gold grape grass green guitar hand happy hat heart hill home honey horse house ice island "
         "jacket jam juice jump key king kitchen kite ladder lake lamp leaf lemon letter light lion lunch magic map market "
         "milk mirror money monkey moon morning mountain mouse music nest night north nose ocean olive onion orange owl page "
         "paint paper park pencil pepper piano picture pig pink planet plant plate pocket poem potato prince purple queen "
         "quick quiet rabbit radio rain red rice ring river road robot rocket roof room rose sail salt sand school sea ship "
         "shirt shoe shop silver sing sister sky sleep snake snow soap sock song soup spoon spring star stone story street "
         "sugar summer sun table tea tiger time tower town train tree truck valley violin voice wall water weather weir west "
         "wheel white wind window winter wolf wood world yellow young zebra").split()

STORY = ("Once upon a time there was a little {a} called {n}. {n} lived near a big green forest. One day {n} saw a {c} ball "
         "under a tall tree. \"Who lost this ball?\" asked {n}. A small {b} came out of the grass. \"It is my ball,\" said the "
         "{b}. {n} gave the ball back with a smile. Then the {a} and the {b} played together until the sun went down. From "
         "that day on they were the best of friends. The end.")
POEMS = {
    "river": "The river runs from hill to sea,\nit sings all day, it sings to me.\nIt turns the wheel, it fills the bay,\nand never stops to rest or stay.",
    "moon": "The moon is round, the moon is white,\nit is the lamp of every night.\nIt looks on city, field and stream,\nand gives each sleeping child a dream.",
    "rain": "The rain comes down on roof and street,\nit drums a song with little feet.\nIt wakes the seeds, it fills the well,\nand has a hundred tales to tell.",
    "cat": "The cat sits still upon the wall,\nit does not seem to move at all.\nBut when the evening star is bright,\nit walks on velvet through the night.",
    "sea": "The sea is wide, the sea is deep,\nit rocks the little boats to sleep.\nIt brings the shells, it takes the sand,\nand writes its name along the land.",
}

# Real questions far beyond this model: it says so.
BEYOND = """Explain quantum mechanics.; Write a Python function that sorts a list.; What is the meaning of life?; Who wrote Hamlet?;
How do I bake bread?; What is machine learning?; Write an essay about history.; Who is the president?; What is the weather today?;
Explain how a car engine works.; Summarize this article.; How does the stock market work?; What is the speed of light?;
Who painted the Mona Lisa?; Fix the bug in my code.; What should I cook for dinner?; What time is it?; How old is the universe?;
Write a SQL query.; What is photosynthesis?; Who won the world cup?; Recommend a good film.; What is DNA?; How tall is Mount Everest?;
Prove that there are infinitely many primes.; What is a transformer?; Plan a trip to the beach for me.; Who invented the telephone?;
What happened in 1492?; Tell me about black holes.; How do vaccines work?; What is inflation?; Write a cover letter.;
Why is the sky blue?; What is a neural network?; How do I learn to swim?; Give me advice.; What is love?; Explain recursion.;
Tell me a joke.; Can you help me with my taxes?; What is the population of Tokyo?; Define entropy.; Solve x squared equals nine."""
BEYOND = [s.strip() for s in BEYOND.replace("\n", " ").split(";")]
